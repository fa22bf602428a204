"""A sweep whose folder is removed while it runs ends in words."""

import shutil
from pathlib import Path

import pytest

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from rnnexp.app.jobs.folder import Frozen
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.errors import RunError

from .test_sweep_watch import opened


def test_it_ends_at_the_next_turn_and_makes_no_other_folder(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = opened()
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
