"""Checkpoint files that are old or new, never half, and known to be whole."""

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from rnnexp.errors import StoreError
from rnnexp.files import CHECKPOINTS
from rnnexp.tracking.files import TEMPORARY, replaced

LAST, PREVIOUS = "last.ckpt", "last.previous.ckpt"
BEST = "best.ckpt"
BEFORE_CLIFF = "before_cliff.ckpt"
SUFFIX = ".sha256"
_NETWORK = "network."


class SafeCheckpointIO(TorchCheckpointIO):
    """Write beside the target, sync, rename; keep a digest, and the previous ``last.ckpt``.

    Lightning's own way goes through the system's temporary folder without a sync: a full disk
    there can cost the good checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[Path, str] = {}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Save so that a kill at any moment leaves a checkpoint that can be loaded.

        Raises:
            StoreError: the disk does not take it; what stood there before still stands.
        """
        del storage_options
        target = Path(path)
        beside = target.with_name(f"{target.name}{TEMPORARY}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(checkpoint, beside)
            new, before = digest_of(beside), self._digest_at(target)
            _note_digests(target, new, before)
        except (OSError, RuntimeError) as error:  # torch's writer turns the one into the other
            beside.unlink(missing_ok=True)
            raise _refused(target, error) from error
        if target.name == LAST and before is not None:  # a damaged one replaces no whole one
            target.replace(target.with_name(PREVIOUS))
        beside.replace(target)
        self._written[target] = new
        if target.name == LAST:  # after a power failure another may be an older one, whole as well
            _sync_folder(target.parent)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load plain tensors, numbers and text only: a checkpoint cannot run code."""
        del weights_only
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)

    def _digest_at(self, target: Path) -> str | None:
        # Of what an earlier process has left the notes do not tell how far it has come.
        if not target.is_file():
            return None
        return self._written.get(target) or _digest_if_whole(target)


def keep_as(last: Path, name: str) -> None:
    """Keep a checkpoint under a further name, since the file is soon exchanged for a newer one.

    Args:
        last: the checkpoint; where it is not there, or there is no room, nothing is kept.
        name: beside it; what stands there is replaced.
    """
    kept = last.with_name(name)
    beside = kept.with_name(f"{name}{TEMPORARY}")
    beside.unlink(missing_ok=True)
    with suppress(OSError):
        try:
            beside.hardlink_to(last)
        except OSError:  # not every file system has links
            shutil.copyfile(last, beside)
        beside.replace(kept)


@dataclass(frozen=True)
class Found:
    """A checkpoint to go on from.

    Args:
        path: None where none is whole.
        notes: what was found wrong on the way, in words.
    """

    path: Path | None
    notes: tuple[str, ...] = ()


def find_checkpoint(run_folder: Path) -> Found:
    """Find the newest whole checkpoint of a run: the last one, else the one before."""
    folder, notes = run_folder / CHECKPOINTS, list[str]()
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        if is_whole(path):
            return Found(path, tuple(notes))
        notes.append(f"{path} is damaged: its sha256 is not the one noted when it was written.")
    if notes:
        notes.append("No whole checkpoint is left: the run begins anew.")
    return Found(None, tuple(notes))


def best_in(run_folder: Path) -> Path | None:
    """Find the weights that a run ended with: of its best validation, the last without any.

    Args:
        run_folder: the run's.

    Returns:
        The checkpoint; None where the run left none.
    """
    files = (run_folder / CHECKPOINTS / name for name in (BEST, LAST))
    return next((file for file in files if file.is_file()), None)


def of_network(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the weights of the network out of those of a module, by the names that they have in it.

    Args:
        weights: ``state_dict`` of a checkpoint.
    """
    mine = (name for name in weights if name.startswith(_NETWORK))
    return {name.removeprefix(_NETWORK): weights[name] for name in mine}


def is_whole(path: Path) -> bool:
    """Tell whether a file is what was written: its digest is one of those noted for it."""
    return _digest_if_whole(path) is not None


def _digest_if_whole(path: Path) -> str | None:
    noted = _noted(path.with_name(LAST if path.name == PREVIOUS else path.name))
    digest = digest_of(path)
    return digest if (digest in noted.values() if noted else _is_archive(path)) else None


def load_whole(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint onto the CPU; None where the file is none, or a damaged one."""
    if not is_whole(path):
        return None
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception:  # what is no checkpoint fails in as many ways as there are files
        return None
    if not isinstance(content, dict) or "loops" not in content:
        return None
    return content if isinstance(content.get("state_dict"), dict) else None


def steps_done(path: Path) -> int | None:
    """Count the optimizer steps that led to a checkpoint; None where it is not whole."""
    if not path.is_file() or not is_whole(path):
        return None
    return int(torch.load(path, weights_only=True, map_location="cpu")["global_step"])


def digest_of(path: Path) -> str:
    """Compute the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(checkpoint: dict[str, Any], file: Path) -> None:
    with file.open("wb") as opened:
        torch.save(checkpoint, opened)
        opened.flush()
        os.fsync(opened.fileno())


def _refused(target: Path, error: Exception) -> StoreError:
    free = shutil.disk_usage(target.parent).free
    kept = f" {target} still holds the one before." if target.exists() else ""
    again = "start again by the same command"
    if find_checkpoint(target.parent.parent).path is not None:
        again = "go on with resume="
    return StoreError(
        f"{target}: the checkpoint cannot be written ({error}); {free / 1e6:.0f} MB are free "
        f"there.{kept} {_remedy(error)}, and {again}."
    )


def _remedy(error: BaseException) -> str:
    # What torch's writer raises has the system's own error before it.
    while not isinstance(error, OSError) and error.__context__ is not None:
        error = error.__context__
    if getattr(error, "errno", None) == errno.EFBIG:
        return "Raise the limit on the size of files (ulimit -f)"
    return "Free some space"


def _note_digests(target: Path, new: str, before: str | None) -> None:
    # Old and new stand together, so that at every moment of the exchange the file fits one.
    is_last = target.name == LAST
    name = PREVIOUS if is_last else f"{target.name}.before"
    older = target.with_name(PREVIOUS)
    if before is None and is_last and older.is_file():  # it stays where it is
        before = _digest_if_whole(older)
    digests = {target.name: new, name: before}
    with replaced(target.with_name(target.name + SUFFIX), sync=is_last) as file:
        file.writelines(f"{digest}  {name}\n" for name, digest in digests.items() if digest)


def _noted(target: Path) -> Mapping[str, str]:
    with suppress(FileNotFoundError):
        lines = target.with_name(target.name + SUFFIX).read_text(encoding="ascii").splitlines()
        pairs = (line.split("  ", 1) for line in lines)
        return {name: digest for digest, name in pairs}
    return {}


def _is_archive(path: Path) -> bool:
    # Written by something that notes no digest; torch itself does not look at the checksums.
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError):
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
