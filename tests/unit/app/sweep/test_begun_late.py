"""A copy of a job that a queue begins late, when another process has had the job."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.folder import PRUNED, state_of
from rnnexp.app.jobs.lease import acquire
from rnnexp.app.sweep import worker
from rnnexp.app.sweep.items import Item
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.tracking.files import write_json
from rnnexp.tracking.outcome import Outcome

from ....unforwarded import Unforwarded


@pytest.fixture
def sweep(workdir: Path) -> Iterator[Sweep]:
    words = ["seed=0,1", "sweep.name=mine"]
    prepare(words)
    jobs = check_jobs(words, multirun=True, config_dir=None)
    sweep = Sweep(jobs, words, Unforwarded("sqlite:///x.db", None), {})
    sweep.open()
    yield sweep
    sweep.close(stopped=False)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Have a run do nothing but fail; list where runs were."""
    folders: list[Path] = []

    def run(plan: object, folder: Path, *arguments: object, **options: object) -> Outcome:
        folders.append(folder)
        return end(folder, "FAILED")

    monkeypatch.setattr(worker, "run", run)
    return folders


def end(folder: Path, status: Literal["FAILED", "KILLED"], pruned: bool = False) -> Outcome:
    outcome = Outcome("a", str(folder), status, error="", pruned=pruned)
    outcome.write()
    return outcome


def another_has_it(item: Item, status: Literal["FAILED", "KILLED"]) -> None:
    lease = acquire(item.folder)
    assert lease is not None
    end(item.folder, status)
    lease.release()


def test_it_is_not_run_again_that_has_failed_or_been_pruned(
    sweep: Sweep, trained: list[Path]
) -> None:
    failed, pruned = sweep.items
    for item in sweep.items:
        sweep.freeze(item, 1)
        another_has_it(item, "FAILED" if item is failed else "KILLED")
    write_json(pruned.folder / PRUNED, {})
    assert [worker.run_folder(item.folder) for item in sweep.items] == [1, 0]
    assert trained == []
    assert [state_of(item.folder) for item in sweep.items] == ["failed", "pruned"]


def test_one_whose_state_was_saved_goes_on(sweep: Sweep, trained: list[Path]) -> None:
    item = sweep.items[0]
    sweep.freeze(item, 1)
    another_has_it(item, "KILLED")
    assert worker.run_folder(item.folder) == 1
    assert trained == [item.folder]


def test_a_command_that_is_asked_to_runs_a_failed_one_again_once(
    sweep: Sweep, trained: list[Path]
) -> None:
    item = sweep.items[0]
    sweep.freeze(item, 1)
    assert [worker.run_folder(item.folder) for _ in range(2)] == [1, 1]
    assert len(trained) == 1
    sweep.freeze(item, 1)
    assert [worker.run_folder(item.folder) for _ in range(2)] == [1, 1]
    assert len(trained) == 2


def test_nor_is_one_that_fails_under_the_process_that_had_it(
    sweep: Sweep, trained: list[Path]
) -> None:
    item = sweep.items[0]
    lease = acquire(item.folder)
    assert lease is not None
    sweep.freeze(item, 1)  # while that one is at work
    end(item.folder, "FAILED")
    lease.release()
    assert worker.run_folder(item.folder) == 1
    assert trained == []
