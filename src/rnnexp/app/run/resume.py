"""Find what a run goes on from: ``resume=RUN_ID``, a path, or ``latest``."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override

from rnnexp.app.config.overrides import parse, quoted
from rnnexp.errors import ConfigError
from rnnexp.files import CHECKPOINTS, CONFIG, JOURNAL, OUTPUTS, RUN
from rnnexp.tracking import LATEST, find_run, head_of
from rnnexp.tracking.files import id_in
from rnnexp.tracking.journal import FIGURES, read_all
from rnnexp.tracking.lookup import first_tags_of
from rnnexp.tracking.read_back import check_run
from rnnexp.training.checkpoints import find_checkpoint

WHICH = "MLflow id or its first characters, its folder, or latest: the one written to last"
"""What a run is asked for by."""
_OPEN = ("cell", "task", "optimizer", "scheduler")
"""Groups whose keys are those of what they name."""
RERUN_OF = "rnnexp.rerun_of"
"""Tag of a rerun: which run it makes again."""


@dataclass(frozen=True)
class Origin:
    """Where a resumed run comes from.

    Args:
        checkpoint: what is loaded; None begins with the first step.
        run_id: the MLflow run that goes on; None starts a new one.
        folder: the earlier run's folder, if it is known.
        notes: what was found damaged, in words.
    """

    checkpoint: Path | None
    run_id: str | None = None
    folder: Path | None = None
    notes: tuple[str, ...] = ()

    def is_in(self, folder: Path) -> bool:
        """Tell whether it goes on in the folder that it was in, whose journal knows which it is."""
        return self.folder is not None and self.folder.resolve() == folder.resolve()

    def known_id(self) -> str | None:
        """Return the MLflow run that goes on in another folder; None if it was never delivered.

        Raises:
            ConfigError: it was, and its id is lost: it would become a run of its own there.
        """
        if self.folder is None or self.run_id is not None or not (self.folder / RUN).is_file():
            return self.run_id
        raise ConfigError(
            f"{self.folder / RUN} is damaged: it said as which run of MLflow this one goes on. To "
            f"ask the store: rnnexp sync {shlex.quote(str(self.folder))}; or leave hydra.run.dir= "
            "out: in its own folder the run goes on without."
        )


def origin_of(resume: str | None, folder: Path, own: bool = False) -> Origin | None:
    """Say what a run goes on from, and what was found damaged.

    Args:
        resume: of the config.
        folder: the run's folder.
        own: whether a record that stands in the folder is an earlier part of this very run.
    """
    found = find_checkpoint(folder) if own and (folder / JOURNAL).is_file() else None
    origin = locate(resume) if resume and not (found and found.path) else None
    if found is not None:  # before its first checkpoint it begins where it began
        begun = origin.checkpoint if origin else None
        origin = Origin(found.path or begun, folder=folder, notes=found.notes)
    for note in origin.notes if origin else ():
        print(f"rnnexp: {note}", file=sys.stderr)
    return origin


def locate(resume: str, outputs: Path = OUTPUTS) -> Origin:
    """Find the checkpoint that ``resume=`` means.

    Args:
        resume: an MLflow run id or its beginning, ``latest``, a run folder, or a checkpoint file;
            a file starts a new run.

    Raises:
        ConfigError: there is no such run, or it left no checkpoint.
    """
    folder = _folder_of(resume, outputs)
    if folder is None:
        return Origin(Path(resume))
    found = find_checkpoint(folder)
    if found.path is None and not found.notes:
        check_begun(folder)
        raise ConfigError(
            f"resume={resume}: the run left no checkpoint in {folder}. It begins anew by: rnnexp "
            f"rerun {shlex.quote(str(folder))}"
        )
    check_run(folder)
    return Origin(found.path, id_in(folder), folder, found.notes)


def check_begun(folder: Path) -> None:
    """Refuse a run without a config: stopped before it was written, or it was removed since.

    Args:
        folder: the run's.

    Raises:
        ConfigError: it has none; says how to start it again, or where the config is kept.
    """
    if (folder / CONFIG).is_file() or not (folder / JOURNAL).is_file():
        return
    tags = head_of(folder).tags
    if "rnnexp.sweep.jobs" in tags:  # the record of a whole sweep, which has no config of its own
        return
    if _had_config(folder):
        raise ConfigError(
            f"{folder / CONFIG}, the config of this run, was removed. Copy it back from the "
            "run's artifacts in MLflow, which rnnexp ui shows."
        )
    kept = tags.get("rnnexp.command")
    raise ConfigError(
        f"The run in {folder} was stopped before its config was written: there is nothing to go on "
        f"from. Start it again by the same command{f': {kept}' if kept else '.'}"
    )


def _had_config(folder: Path) -> bool:
    # Put on record as soon as it is written. The summary of a run that was stopped before has it.
    records = read_all(folder / JOURNAL, FIGURES)
    return any(r["kind"] == "artifact" and r["path"] == CONFIG for r in records)


def run_folder(run: str, outputs: Path = OUTPUTS) -> Path:
    """Find the folder of a run that has begun.

    Args:
        run: what `WHICH` says.
        outputs: the folder below which ids are looked for.

    Raises:
        ConfigError: there is no such run, or it has no config.
    """
    folder = _find(run, outputs)
    check_begun(folder)
    if not (folder / CONFIG).is_file():
        raise _no_run(run, outputs)
    return folder


def started_in(folder: Path) -> Path:
    """Name the folder that a run was started in, as far as its place tells: that of ``outputs``.

    Args:
        folder: the run's.
    """
    above = folder.resolve().parents
    return next((place.parent for place in above if place.name == OUTPUTS.name), above[0])


def _folder_of(resume: str, outputs: Path = OUTPUTS) -> Path | None:
    # Of a checkpoint file there is none. The config may be lost: the command can name it again.
    return None if Path(resume).is_file() else _find(resume, outputs)


def _find(run: str, outputs: Path) -> Path:
    place = Path(run)
    for inside in (place, place.parent):  # a checkpoint, or where it lies: its run is meant
        if inside.name == CHECKPOINTS and place.exists():
            return inside.parent
    folder = place if place.is_dir() else find_run(run, outputs)
    if folder is None:
        raise _no_run(run, outputs)
    return folder


def _no_run(run: str, outputs: Path) -> ConfigError:
    return ConfigError(
        f"No run '{run}': no such file or folder of one, and none of this id below "
        f"{outputs.resolve()}. Give its {WHICH}."
    )


def with_earlier_overrides(overrides: Sequence[str]) -> list[str]:
    """Put the overrides of the run that is resumed before the new ones, which win.

    So ``rnnexp train resume=RUN_ID`` goes on with the config that the run had, in its folder.

    Raises:
        ConfigError: there is no such run, or it is a rerun, which was made by no overrides.
    """
    given = parse(_with_ids_as_text(overrides))
    wanted = _wanted(given)
    origin = locate(wanted) if wanted else None
    if origin is None or origin.folder is None:
        return [o.input_line or "" for o in given]
    earlier = words_of(origin.folder)
    if earlier is None:
        _check_no_rerun(wanted, origin.folder)
    new = {o.key_or_group for o in given}
    lost = _keys_lost(given, origin.folder)
    kept = [
        o.input_line or ""
        for o in parse(earlier or [])
        if o.key_or_group not in new and not o.key_or_group.startswith(lost)
    ]
    if "hydra.run.dir" not in new:
        kept.append(f"hydra.run.dir={quoted(str(origin.folder.resolve()))}")
    return [*kept, *(_by_folder(o, origin.folder) for o in given)]


def words_of(folder: Path) -> list[str] | None:
    """Read the overrides that a run was started with; None where they are not kept in its folder.

    Args:
        folder: the run's.
    """
    return _kept_by_hydra(folder, "overrides.yaml")


def _keys_lost(given: Sequence[Override], folder: Path) -> tuple[str, ...]:
    # Another choice has other keys; the same one again has those that were set.
    then = (_kept_by_hydra(folder, "hydra.yaml") or {}).get("hydra", {}).get("runtime", {})
    choices = then.get("choices", {})
    now = {o.key_or_group: o.value() for o in given}
    return tuple(f"{g}." for g in _OPEN if g in now and now[g] != choices.get(g, now[g]))


def earlier_config_dir(overrides: Sequence[str]) -> str | None:
    """Give the folder of configs, Hydra's ``--config-dir``, of the run that is resumed.

    Raises:
        ConfigError: there is no such run, or the folder has gone.
    """
    wanted = _wanted(parse(_with_ids_as_text(overrides)))
    earlier = _folder_of(wanted) if wanted else None  # its checkpoints need not be looked at
    if earlier is None:
        return None
    kept = _kept_by_hydra(earlier, "hydra.yaml") or {}
    sources = kept.get("hydra", {}).get("runtime", {}).get("config_sources", ())
    folder = next((s["path"] for s in sources if s["provider"] == "command-line"), None)
    if folder is not None and not Path(folder).is_dir():
        raise ConfigError(
            f"resume={wanted}: the configs of this run were in {folder}, its --config-dir, which "
            "is not there any more. Put it back, or give --config-dir with its new place."
        )
    return folder


def _wanted(given: Sequence[Override]) -> str:
    asked = [o for o in given if o.key_or_group == "resume" and not o.is_sweep_override()]
    return str(asked[-1].value() or "") if asked else ""


def _kept_by_hydra(folder: Path, name: str) -> Any:
    file = folder / ".hydra" / name
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None


def _by_folder(override: Override, folder: Path) -> str:
    # The latest run will be another one later, and this stands in the record of the run.
    latest = override.key_or_group == "resume" and override.value() == LATEST
    return f"resume={quoted(str(folder))}" if latest else override.input_line or ""


def _with_ids_as_text(overrides: Sequence[str]) -> list[str]:
    # The beginning of an id may look like a number: 00123456, 84248e89.
    return [
        f"resume={quoted(o.input_line.partition('=')[2])}"
        if o.key_or_group == "resume" and o.input_line and isinstance(o.value(), int | float)
        else str(o.input_line)
        for o in parse(overrides)
    ]


def _check_no_rerun(wanted: str, folder: Path) -> None:
    of = first_tags_of(folder).get(RERUN_OF)
    if of is not None:
        raise ConfigError(
            f"resume={wanted}: this run is a rerun, whose config and plugins are those of another "
            f"run. It goes on by: rnnexp rerun {shlex.quote(of)}"
        )
