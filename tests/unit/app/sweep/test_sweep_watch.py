"""What a sweep says of its jobs as they end."""

from pathlib import Path

import pytest

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.folder import COMPLETE
from rnnexp.app.jobs.outcome import Outcome
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.tracking import Tracking


class Unforwarded(Tracking):
    """Keeps records, and starts no process that forwards them."""

    def forward(self, folder: Path) -> None:
        del folder


def test_jobs_that_end_together_are_counted_one_by_one(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["seed=0,1,2", "sweep.name=mine"]
    prepare(words)
    jobs = check_jobs(words, multirun=True, config_dir=None)
    sweep = Sweep(jobs, words, Unforwarded("sqlite:///x.db", None), {})
    sweep.open()
    watcher = SweepWatcher(sweep, moving=False)
    tasks = [JobTask(item) for item in sweep.items[:2]]
    for task in tasks:
        watcher.started(task)
        task.item.folder.mkdir()
        Outcome(task.name, str(task.item.folder), status="FINISHED").write()
        (task.item.folder / COMPLETE).touch()
    head = watcher._picture(waiting=1).renderables[0]
    assert str(head) == "mine  0 done  2 running  0 failed  1 left"
    for task in tasks:
        assert watcher.ended(Ended(task, 0, None, 1.0, False))
    sweep.close(stopped=False)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["[1/3]", "[2/3]"]
    assert sweep.count() == {"done": 2, "running": 0, "failed": 0, "left": 1}
