"""What becomes of a trial whose values are suggested again."""

from pathlib import Path
from typing import cast

import pytest

from hydra_plugins.rnnexp_optuna_sweeper._trials import Result
from rnnexp.app.config.compose import Corner, check_jobs, prepare
from rnnexp.app.sweep.items import Item
from rnnexp.app.sweep.search import Search, SearchTrials
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.tracking.outcome import Outcome

from ....unforwarded import Unforwarded


@pytest.mark.parametrize("retry", [False, True])
def test_a_job_that_has_failed_is_run_again_only_where_that_is_asked_for(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, retry: bool
) -> None:
    prepare([])
    words = ["hydra/sweeper=optuna", "sweep.name=mine", "seed=0,1", f"sweep.retry_failed={retry}"]
    corners = cast("list[Corner]", check_jobs(words, True, None))
    search = Search(corners, words, Unforwarded("sqlite:///x.db", None), {})
    search.expect(1)
    item = Item(corners[0], "0123", search.folder / "0123")
    item.folder.mkdir()
    Outcome("a", str(item.folder), "FAILED").write()
    trials = SearchTrials(search, SweepWatcher(search, moving=False), lambda item: 1, [])
    monkeypatch.setattr(trials, "_item", lambda number, overrides: item)
    assert trials.prepare(0, []) == (JobTask(item) if retry else Result("failed"))
    assert search.items == [item], "it counts"
    search.close(stopped=True)
