"""Which rerun a further ``rnnexp rerun`` goes on with, and one that cannot be delivered."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rnnexp.__main__ import run
from rnnexp.app.commands.rerun import left_behind
from rnnexp.app.jobs.lease import acquire
from rnnexp.app.run.resume import RERUN_OF, with_earlier_overrides
from rnnexp.errors import ConfigError
from rnnexp.tracking import RunHeader, RunLog
from rnnexp.tracking.outcome import Outcome

from ..run.earlier_run import WORDS, finished_run


def begin(name: str, of: str, age: int = 0) -> Path:
    """Leave what a killed rerun leaves."""
    folder = Path("outputs", "2030-01-01", name)
    RunLog(folder, RunHeader(name, "study", {}, {RERUN_OF: of}), "", None)._journal.close()
    os.utime(folder / "journal.jsonl", (9e8 - age, 9e8 - age))
    return folder


def test_the_newest_one_that_was_stopped_goes_on(workdir: Path) -> None:
    assert left_behind(["a"]) is None
    killed = begin("120000-rerun-x-0001", "a", age=1)
    begin("120000-rerun-x-0002", "a", age=2)
    begin("120000-rerun-x-0003", "another")
    for status in ("FINISHED", "FAILED"):
        Outcome("x", str(begin(f"120000-rerun-x-{status}", "a")), status).write()
    lease = left_behind(["b", "a"])
    assert lease is not None
    assert lease.folder == killed
    lease.release()
    Outcome("x", str(killed), "KILLED").write()  # by a signal, which it took note of
    again = left_behind(["a"])
    assert again is not None
    assert again.folder == killed


def test_one_at_work_is_left_alone(workdir: Path) -> None:
    lease = acquire(begin("120000-rerun-x-0001", "a"))
    assert lease is not None
    assert left_behind(["a"]) is None
    lease.release()
    assert left_behind(["a"]) is not None


def test_resume_says_how_a_rerun_goes_on(workdir: Path) -> None:
    folder = begin("120000-rerun-x-0001", "abc")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_text("damaged")
    with pytest.raises(ConfigError, match=r"is a rerun.*It goes on by: rnnexp rerun abc"):
        with_earlier_overrides([f"resume={folder}"])


def test_a_deleted_experiment_is_refused_before_the_training(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished_run(workdir / "run", [*WORDS, "tracking.experiment=old"])
    with closing(sqlite3.connect(workdir / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE experiments (name, lifecycle_stage)")
        store.execute("INSERT INTO experiments VALUES ('old', 'deleted')")
    assert run(["rerun", str(folder)]) == 2
    assert "The experiment 'old' is deleted. Restore it" in capsys.readouterr().err
    assert not (workdir / "outputs").exists()
