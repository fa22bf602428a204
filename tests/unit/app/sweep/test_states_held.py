"""How often the folders of a sweep's jobs are looked at: with its jobs, not with their square."""

from collections import Counter
from pathlib import Path

import pytest

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from rnnexp.app.jobs.folder import State, state_of
from rnnexp.app.jobs.lease import acquire
from rnnexp.app.sweep import states
from rnnexp.app.sweep.items import Item
from rnnexp.app.sweep.one_by_one import OneByOne
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.training.interrupt import StopRequest

from ..swept import end, opened

JOBS = 5


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each folder was looked at, by its name."""
    found = Counter[str]()

    def counting(folder: Path) -> State:
        found[folder.name] += 1
        return state_of(folder)

    monkeypatch.setattr(states, "state_of", counting)
    return found


def turn(watcher: SweepWatcher) -> str:
    watcher._shown = 0.0
    watcher.turn([], waiting=1)
    return str(watcher._picture(waiting=1).renderables[0])


def test_a_turn_looks_at_no_job_again(workdir: Path, looks: Counter[str]) -> None:
    sweep = opened(JOBS)
    watcher = SweepWatcher(sweep, moving=False)
    turn(watcher)
    looks.clear()
    for _ in range(5):
        turn(watcher)
    assert not looks
    sweep.close(stopped=True)


def test_an_end_looks_at_the_job_that_ended(
    workdir: Path, looks: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = opened(JOBS)
    watcher = SweepWatcher(sweep, moving=False)
    turn(watcher)
    for item in sweep.items:
        looks.clear()
        watcher.started(JobTask(item))
        turn(watcher)
        end(item)
        assert watcher.ended(Ended(JobTask(item), 0, None, 1.0, False))
        turn(watcher)
        assert set(looks) == {item.key}
        assert looks[item.key] <= 2, "before it is judged, and after"
    sweep.close(stopped=False)
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said] == [f"[{n}/{JOBS}]" for n in range(1, JOBS + 1)]


def test_what_another_process_runs_is_looked_at_each_time(
    workdir: Path, looks: Counter[str]
) -> None:
    sweep = opened(JOBS)
    other = sweep.items[0]
    lease = acquire(other.folder)
    assert lease is not None
    sweep.left()
    watcher = SweepWatcher(sweep, moving=False)
    turn(watcher)
    looks.clear()
    end(other)
    lease.release()
    assert "1 done" in turn(watcher)
    assert looks == {other.key: 1}
    sweep.close(stopped=True)


def test_after_a_while_all_are_looked_at(
    workdir: Path, looks: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "HOLD_SECONDS", -1.0)
    sweep = opened(JOBS)
    watcher = SweepWatcher(sweep, moving=False)
    turn(watcher)
    end(sweep.items[0])
    looks.clear()
    assert "1 done" in turn(watcher)
    assert looks == dict.fromkeys((item.key for item in sweep.items), 1)
    sweep.close(stopped=True)


def test_its_record_is_ended_by_what_is_there(workdir: Path) -> None:
    sweep = opened(JOBS)
    turn(SweepWatcher(sweep, moving=False))
    end(sweep.items[0])
    assert sweep.count()["done"] == 0, "held"
    sweep.close(stopped=True)
    assert sweep.count()["done"] == 1


def test_in_one_process_too(
    workdir: Path, looks: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = opened(JOBS)
    here = OneByOne(sweep, sweep.left(), StopRequest())

    def ends(item: Item) -> tuple[int, str]:
        end(item)
        return 0, ""

    monkeypatch.setattr(here, "_work_on", ends)
    looks.clear()
    for _ in sweep.items:
        here.run_next()
    assert max(looks.values()) <= 3
    assert sweep.count()["done"] == JOBS
    sweep.close(stopped=False)
