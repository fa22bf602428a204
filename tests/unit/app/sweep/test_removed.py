"""A sweep, and a job, whose folder is removed while it runs ends in words."""

import shutil
from pathlib import Path

import pytest

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from rnnexp.app.jobs.folder import REMOVED, Frozen, outcome_of, state_of
from rnnexp.app.jobs.lease import acquire
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.app.sweep.worker import finish
from rnnexp.errors import RunError
from rnnexp.tracking import Journals, RunHeader, load_run
from rnnexp.tracking.outcome import Outcome

from ..swept import opened


def test_it_ends_at_the_next_turn_and_makes_no_other_folder(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = opened(3)
    task = JobTask(sweep.items[0])
    sweep.freeze(task.item, 1)
    watcher = SweepWatcher(sweep, moving=False)
    watcher.started(task)
    shutil.rmtree("outputs")
    with pytest.raises(RunError, match=r"folder outputs/sweeps/mine was removed .* begins anew"):
        watcher.turn([task], waiting=2)
    assert watcher.ended(Ended(task, 1, None, 1.0, asked=True)), "it is not judged"
    sweep.close(stopped=False)
    sweep.open()._journal.close()  # a command leaves that to its end
    assert capsys.readouterr().err == ""
    assert not Path("outputs").exists()


def test_a_job_whose_orders_are_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"job\.json is not there: it was removed while its sweep"):
        Frozen.read(tmp_path)


def test_a_job_whose_folder_is_removed_has_failed(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = opened(3)
    task = JobTask(sweep.items[0])
    folder = task.item.folder
    sweep.freeze(task.item, 1)
    watcher = SweepWatcher(sweep, moving=False)
    watcher.started(task)
    log = Journals("", None).open_run(folder, RunHeader("a", "b", {}, {}))
    shutil.rmtree(folder)
    log.end("FINISHED")
    (folder / "checkpoints").mkdir(parents=True)  # as one that is saved after
    Outcome(task.name, str(folder), status="FINISHED").write()
    assert not watcher.ended(Ended(task, 1, None, 1.0))
    assert f"{task.name} FAILED: {REMOVED}" in capsys.readouterr().err
    outcome = outcome_of(folder)
    assert outcome is not None
    assert (outcome.status, outcome.error) == ("FAILED", REMOVED)
    record = load_run(folder)
    assert (record.name, record.status, record.reason) == (task.name, "FAILED", REMOVED)
    assert record.tags["rnnexp.job_key"] == folder.name
    assert state_of(folder) == "failed"
    assert not (folder / "checkpoints").exists(), "a retry goes on from nothing"
    sweep.close(stopped=False)
    assert sweep.status == "FAILED"


def test_its_process_does_not_take_it_for_taken_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = acquire(tmp_path / "job")
    assert lease is not None
    shutil.rmtree(tmp_path / "job")
    (tmp_path / "job").mkdir()
    assert finish(Outcome("a", str(tmp_path / "job"), status="FINISHED"), lease) == 1
    assert REMOVED in capsys.readouterr().err
    assert not list((tmp_path / "job").iterdir())
