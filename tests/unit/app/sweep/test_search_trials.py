"""What becomes of a trial whose values are suggested again."""

from pathlib import Path
from typing import cast

import pytest

from hydra_plugins.rnnexp_optuna_sweeper._trials import Result
from rnnexp.app.config.compose import Corner, check_jobs, prepare
from rnnexp.app.jobs.folder import PRUNED
from rnnexp.app.sweep.items import Item
from rnnexp.app.sweep.search import Search, SearchTrials
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.tracking.journal import read_all
from rnnexp.tracking.outcome import Outcome

from ....unforwarded import Unforwarded


def begun(*words: str) -> tuple[Search, SearchTrials]:
    prepare([])
    given = ["hydra/sweeper=optuna", "sweep.name=mine", *words]
    corners = cast("list[Corner]", check_jobs(given, True, None))
    search = Search(corners, given, Unforwarded("sqlite:///x.db", None), {})
    search.expect(1)
    return search, SearchTrials(search, SweepWatcher(search, moving=False), lambda item: 1, [])


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose trials as in a command, without one."""
    made = "rnnexp.app.sweep.search.compose_trial"
    monkeypatch.setattr(made, lambda words: check_jobs(words, False, None)[0])


@pytest.mark.usefixtures("composed")
def test_its_name_says_what_was_chosen(workdir: Path) -> None:
    search, trials = begun("seed=0,1", "optimizer.lr=interval(0.01,0.1)")
    item = trials._item(3, ["seed=1", "optimizer.lr=0.0784612345678"])
    assert item is not None
    assert item.name == "trial3-adding-lstm-clip_norm-s1 optimizer.lr=0.07846"
    search.close(stopped=True)


@pytest.mark.usefixtures("composed")
def test_after_its_last_step_it_is_not_pruned(workdir: Path) -> None:
    words = ["trainer.max_steps=20", "seed=0,1", "hydra.sweeper.pruner=median"]
    search, trials = begun(*words)
    item = trials._item(0, ["trainer.max_steps=20", "seed=0"])
    assert item is not None
    item.folder.mkdir()
    task = JobTask(search.add(item))
    assert not trials.prune(task, 20, 0.5)
    assert not (item.folder / PRUNED).exists()
    assert trials.prune(task, 10, 0.5)
    Outcome(item.name, str(item.folder), "KILLED", pruned=True).write()
    search.close(stopped=True)
    note = read_all(search.folder / "journal.jsonl")
    values = [v for r in note if "mlflow.note.content" in (v := r.get("values", {}))]
    assert values[0]["mlflow.note.content"] == "**0 of 2** runs finished, 1 pruned"


@pytest.mark.parametrize("retry", [False, True])
def test_a_job_that_has_failed_is_run_again_only_where_that_is_asked_for(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, retry: bool
) -> None:
    search, trials = begun("seed=0,1", f"sweep.retry_failed={retry}")
    item = Item(search._corners[0].job, "0123", search.folder / "0123")
    item.folder.mkdir()
    Outcome("a", str(item.folder), "FAILED").write()
    monkeypatch.setattr(trials, "_item", lambda number, overrides: item)
    assert trials.prepare(0, []) == (JobTask(item) if retry else Result("failed"))
    assert search.items == [item], "it counts"
    search.close(stopped=True)
