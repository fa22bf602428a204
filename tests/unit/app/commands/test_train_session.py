"""What ``rnnexp train`` makes of a command line, before anything of it runs."""

import errno
import sqlite3
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from rnnexp.__main__ import run
from rnnexp.app.jobs.log import LOG
from rnnexp.app.sweep.session import Session
from rnnexp.tracking.outcome import Outcome

from ..swept import end


@pytest.mark.parametrize(
    ("words", "is_sweep"),
    [("seed=0", False), ("-m seed=0", True), ("hydra.mode=MULTIRUN seed=0", True)],
)
def test_a_sweep_may_have_one_job(
    workdir: object, sessions: list[Session], words: str, is_sweep: bool
) -> None:
    assert run(["train", *words.split()]) == 0
    assert (sessions[0].sweep is not None) == is_sweep


@pytest.mark.parametrize(
    "word",
    [
        "hydra/launcher=ray",
        "hydra/sweeper=basic",
        "hydra.launcher.jobs=4",
        "hydra.sweeper.max_batch_size=2",
        "hydra.sweep.subdir=x",
        "sweep.name=mine",
    ],
)
def test_one_run_takes_no_word_of_a_sweep(
    workdir: Path, sessions: list[Session], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "seed=0", word]) == 2
    assert f"rnnexp: {word}: it says how the jobs of a sweep run" in capsys.readouterr().err
    assert not sessions


def test_what_files_say_of_sweeps_is_no_word_of_the_command(
    workdir: Path, sessions: list[Session]
) -> None:
    file = workdir / "more" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(
        "# @package _global_\ndefaults: [{override /hydra/sweeper: basic}]\n"
        "sweep: {name: ours}\nhydra: {launcher: {jobs: 2}}\n"
    )
    assert run(["train", "--config-dir", "more", "experiment=mine"]) == 0
    assert run(["train", "experiment=demo", "hydra.mode=RUN"]) == 0
    assert run(["train", "experiment=demo", "hydra.launcher.jobs=1", "sweep.name=mine"]) == 0
    assert [session.sweep is not None for session in sessions] == [False, False, True]


@pytest.mark.parametrize("command", ["train", "sweep plan"])
def test_a_wrong_flag_is_answered_with_those_there_are(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run([*command.split(), "--nosuch"])
    said = capsys.readouterr().err
    assert said.startswith(f"usage: rnnexp {command} [KEY=VALUE ...] [-m")
    assert f"rnnexp {command}: error: unrecognized arguments: --nosuch" in said
    assert "--config-name" not in said
    assert max(map(len, said.splitlines())) <= 80


Usage = namedtuple("Usage", "total used free")


def test_jobs_that_are_done_need_no_room(
    workdir: object, sessions: list[Session], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    words = ["train", "-m", "seed=0,1,2", "sweep.name=mine"]
    assert run(words) == 0
    assert sessions[0].sweep is not None
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(10**9, 10**9 - 10**5, 10**5))
    first, *others = sessions[0].sweep.items
    for item in others:
        end(item)
    assert run(words) == 2
    assert "1 runs may write" in capsys.readouterr().err
    end(first)
    assert run(words) == 0


def test_a_log_is_named_where_there_is_one(
    workdir: object, sessions: list[Session], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "-m", "seed=0,1", "sweep.name=mine"]) == 0
    (session,) = sessions
    assert session.sweep is not None
    with_log, without = session.sweep.items
    for item in (with_log, without):
        item.folder.mkdir(parents=True)
        Outcome(item.name, str(item.folder), error="it broke").write()
    (with_log.folder / LOG).touch()
    session._sum_up(session.sweep)
    said = capsys.readouterr().err
    assert said.count("FAILED: it broke") == 2
    assert said.count("its log:") == 1
    assert f"its log: {with_log.folder}/{LOG}" in said
    session._sum_up(session.sweep)
    said = capsys.readouterr().err
    assert "it broke" not in said, "a reason that has been said is not said again"
    assert f"rnnexp: {without.name} FAILED, as said above" in said


def test_a_plan_counts_the_failed_jobs_that_would_run_again(
    workdir: object, sessions: list[Session], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["seed=0,1,2", "sweep.name=mine"]
    assert run(["train", "-m", *words]) == 0
    assert sessions[0].sweep is not None
    for item in sessions[0].sweep.items[:2]:
        item.folder.mkdir(parents=True)
        Outcome(item.name, str(item.folder), error="it broke").write()
    for more, left in (([], "1 job"), (["sweep.retry_failed=true"], "3 jobs")):
        assert run(["sweep", "plan", "-m", *words, *more]) == 0
        said = capsys.readouterr().out
        assert "mine: 1 to run, 2 failed" in said
        assert f"\n{left} left;" in said


def test_a_deleted_experiment_is_refused_before_the_training(
    workdir: Path, sessions: list[Session], capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(workdir / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE experiments (name, lifecycle_stage)")
        store.execute("INSERT INTO experiments VALUES ('old', 'deleted'), ('new', 'active')")
    assert run(["train", "tracking.experiment=old"]) == 2
    assert "The experiment 'old' is deleted. Restore it" in capsys.readouterr().err
    assert not sessions
    assert run(["train", "tracking.experiment=new"]) == 0


def test_without_a_process_to_spare_it_goes_on(
    workdir: Path, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("rnnexp.app.commands.train.Courier", refused)
    assert run(["train"]) == 0
    assert len(sessions) == 1


@pytest.mark.parametrize(("status", "code"), [("FINISHED", 0), ("FAILED", 1)])
def test_the_exit_code_of_a_sweep_is_what_its_record_says(
    workdir: object, sessions: list[Session], status: Literal["FINISHED", "FAILED"], code: int
) -> None:
    assert run(["train", "-m", "seed=0,1"]) == 0
    (session,) = sessions
    assert session.sweep is not None
    session.sweep.status = status
    assert session.exit_code == code
