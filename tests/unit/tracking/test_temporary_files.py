"""What a killed process has left of a file that it was about to replace."""

import signal
from pathlib import Path

import pytest

from rnnexp.app.jobs.lease import acquire
from rnnexp.tracking import files
from rnnexp.tracking.files import clear_left, replaced, write_json

WRITES = """
import os, signal, sys
from pathlib import Path
from rnnexp.tracking.files import replaced
with replaced(Path("a.json")) as file:
    file.write("half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def temporary(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.tmp")]


def test_that_of_a_killed_process_is_removed_when_its_folder_is_taken_again(
    workdir: Path, python
) -> None:
    places = [workdir, workdir / "checkpoints"]
    for place in places:
        place.mkdir(exist_ok=True)
        assert python("-c", WRITES, cwd=place).code == -signal.SIGKILL
    assert len(temporary(workdir)) == 2
    (workdir / "notes.1.tmp").write_text("a user's own")
    assert acquire(workdir) is not None
    assert temporary(workdir) == ["notes.1.tmp"]


def test_one_that_is_being_written_stays(tmp_path: Path) -> None:
    with replaced(tmp_path / "a.json") as file:
        clear_left(tmp_path)
        file.write("whole")
    clear_left(tmp_path)
    assert (tmp_path / "a.json").read_text() == "whole"


def test_one_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, cleared = files.fcntl.flock, []

    def late(file, how: int) -> None:
        if not cleared:
            cleared.append(True)
            clear_left(tmp_path)
        lock(file, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    write_json(tmp_path / "a.json", {"a": 1})
    assert (tmp_path / "a.json").read_text() == '{"a": 1}'
    assert temporary(tmp_path) == []


def test_the_checkpoints_too_are_written_under_such_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rnnexp.training import checkpoints

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "digest_of", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.SafeCheckpointIO().save_checkpoint({}, tmp_path / "best.ckpt")
    assert len(temporary(tmp_path)) == 1
    clear_left(tmp_path)
    assert temporary(tmp_path) == []
