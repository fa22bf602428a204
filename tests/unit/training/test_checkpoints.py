"""Checkpoint files: whole or not, found out, and replaced by the one before."""

import os
import resource
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnexp.errors import StoreError
from rnnexp.training.checkpoints import LAST, PREVIOUS, SafeCheckpointIO, find_checkpoint, is_whole


def save(folder: Path, value: int, name: str = LAST) -> Path:
    path = folder / "checkpoints" / name
    SafeCheckpointIO().save_checkpoint({"value": value, "x": torch.arange(1000)}, path)
    return path


def value_of(path: Path | None) -> Any:
    assert path is not None
    return SafeCheckpointIO().load_checkpoint(path)["value"]


def test_the_newest_is_found(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path).path is None
    for value in range(3):
        save(tmp_path, value)
    found = find_checkpoint(tmp_path)
    assert value_of(found.path) == 2
    assert found.notes == ()
    assert value_of(tmp_path / "checkpoints" / PREVIOUS) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    found = find_checkpoint(tmp_path)
    assert value_of(found.path) == 1
    assert ("last.ckpt is damaged" in " ".join(found.notes)) == (damage != "gone")


def test_when_all_are_damaged_it_is_said(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    for file in (tmp_path / "checkpoints").glob("*.ckpt"):
        file.write_bytes(b"no checkpoint")
    found = find_checkpoint(tmp_path)
    assert found.path is None
    assert found.notes[-1] == "No whole checkpoint is left: the run begins anew."


def save_until(folder: Path, value: int, step: int, name: str = LAST) -> bool:
    """Save, and be killed before a renaming of that number, from 0; tell whether all was done."""
    rename, left = Path.replace, step

    def replace(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt  # stands for the kill
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        try:
            save(folder, value, name)
        except KeyboardInterrupt:
            return False
    return True


@pytest.mark.parametrize("step", range(4))
def test_a_kill_between_two_steps_of_saving_costs_nothing(tmp_path: Path, step: int) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert save_until(tmp_path, 3, step) == (step == 3)
    assert value_of(find_checkpoint(tmp_path).path) == (3 if step == 3 else 2)


@pytest.mark.parametrize("steps", list(product(range(3), repeat=3)))
def test_nor_do_several(tmp_path: Path, steps: tuple[int, ...]) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    newest = 2
    for value, step in enumerate(steps, start=3):
        newest = value if save_until(tmp_path, value, step) else newest
        assert value_of(find_checkpoint(tmp_path).path) == newest


def test_nor_do_several_of_the_best(tmp_path: Path) -> None:
    path = save(tmp_path, 1, "best.ckpt")
    for value in (2, 3, 4):
        assert not save_until(tmp_path, value, 1, "best.ckpt")
        assert is_whole(path)
        assert value_of(path) == 1


def test_a_damaged_one_does_not_replace_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2).write_bytes(b"no checkpoint")
    save(tmp_path, 3).write_bytes(b"no checkpoint")
    assert value_of(find_checkpoint(tmp_path).path) == 1


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "canary"),)

    path = tmp_path / "bomb.ckpt"
    torch.save({"value": Bomb()}, path)
    with pytest.raises(Exception, match="weights_only"):
        SafeCheckpointIO().load_checkpoint(path)
    assert not (tmp_path / "canary").exists()


def test_without_a_checkpoint_a_run_is_not_said_to_go_on(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StoreError) as refused:
            save(tmp_path, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = "Raise the limit on the size of files (ulimit -f), and start again by the same command."
    assert str(refused.value).endswith(said)


def test_a_full_disk_is_said_and_the_one_before_stands(tmp_path: Path) -> None:
    before = save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before.stat().st_size - 100, hard))
    try:
        with pytest.raises(StoreError, match=r"cannot be written .* MB are free .* the one before"):
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert value_of(find_checkpoint(tmp_path).path) == 1
    assert not list(tmp_path.rglob("*.tmp"))
