"""The jobs of a sweep in one process: none is the worse for the one before it."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rnnexp.__main__ import run as command
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.folder import Frozen
from rnnexp.app.jobs.lease import acquire
from rnnexp.app.sweep import worker
from rnnexp.app.sweep.one_by_one import OneByOne
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.errors import ConfigError
from rnnexp.tracking import Journals, RunHeader, Tracking, load_run
from rnnexp.tracking.outcome import Outcome
from rnnexp.training.interrupt import StopRequest


class Noted(Tracking):
    """Starts no process that forwards, and knows what it would forward."""

    def __init__(self) -> None:
        super().__init__("sqlite:///x.db", None)
        self.forwarded: list[Path] = []

    def forward(self, folder: Path) -> None:
        assert (folder / "journal.jsonl").is_file()
        self.forwarded.append(folder)


@pytest.fixture
def sweep(workdir: Path) -> Iterator[Sweep]:
    words = ["seed=0,1,2", "sweep.name=mine"]
    prepare(words)
    sweep = Sweep(check_jobs(words, multirun=True, config_dir=None), words, Noted(), {})
    sweep.open()
    yield sweep
    sweep.close(stopped=False)


def one_by_one(sweep: Sweep) -> OneByOne:
    return OneByOne(sweep, sweep.left(), StopRequest())


def ends(folder: Path, tracking: Journals, error: str | None = None) -> Outcome:
    """Do what a run does in the end."""
    status = "FAILED" if error else "FINISHED"
    tracking.open_run(folder, RunHeader("a", "b", {}, {})).end(status)
    outcome = Outcome("a", str(folder), status, error=error)
    outcome.write()
    return outcome


def test_the_threads_of_a_job_are_its_own(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def run(plan: object, folder: Path, tracking: Journals, *_: object, **__: object) -> Outcome:
        seen.append(torch.get_num_threads())
        torch.set_num_threads(3)  # as threads=3 does
        return ends(folder, tracking)

    monkeypatch.setattr(worker, "run", run)
    here = one_by_one(sweep)
    while here.run_next():
        pass
    assert seen == [1, 1, 1]
    assert {Frozen.read(item.folder).threads for item in sweep.items} == {1}


def test_a_job_is_known_while_it_runs(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = sweep.tracking
    assert isinstance(tracking, Noted)

    def run(plan: object, folder: Path, journals: Journals, *_: object, **__: object) -> Outcome:
        assert load_run(sweep.folder).tags["rnnexp.sweep.running"] == "1"
        outcome = ends(folder, journals)
        assert folder in tracking.forwarded
        return outcome

    monkeypatch.setattr(worker, "run", run)
    outcome = one_by_one(sweep).run_next()
    assert outcome is not None
    assert outcome.well
    tags = load_run(sweep.folder).tags
    assert (tags["rnnexp.sweep.running"], tags["rnnexp.sweep.done"]) == ("0", "1")


def test_a_failure_is_said_once(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(plan: object, folder: Path, tracking: Journals, *_: object, **__: object) -> Outcome:
        return ends(folder, tracking, error="the cell broke")

    monkeypatch.setattr(worker, "run", run)
    outcome = one_by_one(sweep).run_next()
    assert outcome is not None
    assert outcome.error == "the cell broke"
    assert capsys.readouterr().err == "rnnexp: a FAILED: the cell broke\n"
    assert sweep.how(outcome) == "a FAILED, as said above"


@pytest.mark.parametrize("error", [ConfigError("no such cell"), SystemExit(0), KeyError("x")])
def test_one_that_ends_before_its_record_begins_has_failed(
    error: BaseException,
    sweep: Sweep,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(plan: object, folder: Path, tracking: Journals, *_: object, **__: object) -> Outcome:
        if folder == sweep.items[0].folder:
            raise error
        return ends(folder, tracking)

    monkeypatch.setattr(worker, "run", run)
    here = one_by_one(sweep)
    ended = [here.run_next() for _ in sweep.items]
    assert [outcome and outcome.status for outcome in ended] == ["FAILED", "FINISHED", "FINISHED"]
    record = load_run(sweep.items[0].folder)
    assert record.status == "FAILED"
    said = capsys.readouterr().err
    assert f"rnnexp: {sweep.items[0].name} FAILED: {record.reason}\n" in said
    assert ("Traceback" in said) == (not isinstance(error, ConfigError))


def test_those_that_were_begun_least_often_come_first(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = sweep.items
    for item in (first, first, second):  # each ended the process
        lease = acquire(item.folder)
        assert lease is not None
        lease.release()
        Journals("", None).open_run(item.folder, RunHeader("a", "b", {}, {})).end("KILLED")
    order: list[Path] = []

    def run(plan: object, folder: Path, tracking: Journals, *_: object, **__: object) -> Outcome:
        order.append(folder)
        return ends(folder, tracking)

    monkeypatch.setattr(worker, "run", run)
    here = one_by_one(sweep)
    while here.run_next():
        pass
    assert order == [third.folder, second.folder, first.folder]


def test_a_signal_in_the_step_that_fails_ends_the_sweep(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(
        plan: object, folder: Path, tracking: Journals, stop: StopRequest, **_: object
    ) -> Outcome:
        assert not list(workdir.rglob("summary.json")), "a second job has begun"
        stop.can_wait = True
        signal.raise_signal(signal.SIGINT)
        return ends(folder, tracking, error="it broke")

    monkeypatch.setattr(worker, "run", run)
    monkeypatch.setattr(Tracking, "forward", lambda self, folder: None)
    monkeypatch.setattr(sys, "argv", list(sys.argv))  # Hydra wants its own
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    words = ["seed=0,1", "hydra/launcher=basic", "tracking.wait=0", "sweep.name=mine"]
    assert command(["train", "-m", *words]) == 130
    assert "rnnexp: stopped by SIGINT; " in capsys.readouterr().err
