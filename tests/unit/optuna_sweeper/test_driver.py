"""What becomes of a search as its trials end."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from optuna.trial import Trial

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from hydra_plugins.rnnexp_optuna_sweeper._core import check
from hydra_plugins.rnnexp_optuna_sweeper._driver import Driver
from hydra_plugins.rnnexp_optuna_sweeper._file import UnwritableError
from hydra_plugins.rnnexp_optuna_sweeper._study import open_study
from hydra_plugins.rnnexp_optuna_sweeper._trials import HydraTrials, Result, State
from hydra_plugins.rnnexp_optuna_sweeper.config import OptunaSweeperConf


class EndsAs(HydraTrials):
    """Makes tasks that nobody runs.

    Args:
        state: what came of each.
    """

    def __init__(self, state: State) -> None:
        super().__init__(cast(Any, None), ["loss"], 2)
        self.state: State = state

    def prepare(self, number: int, overrides: Any) -> Any:
        return object()

    def ended(self, ended: Ended) -> Result:
        return Result(self.state, {"loss": 0.5})


def begun(folder: Path, state: State) -> Driver:
    settings, fixed, space = check(
        {**vars(OptunaSweeperConf()), "objectives": ["loss"]}, ["x=interval(0,1)"]
    )
    study = open_study(settings, space, folder)
    return Driver(study, settings, fixed, space, EndsAs(state), left=2)


@pytest.mark.parametrize("state", ["complete", "pruned", "interrupted", "failed"])
def test_only_a_trial_that_has_failed_may_end_the_search(tmp_path: Path, state: State) -> None:
    driver = begun(tmp_path, state)
    task = driver.supply()
    assert task is not None
    assert driver.ended(Ended(task, 75, None, 1.0)) == (state != "failed")


def test_on_a_full_disk_all_that_run_are_judged_and_the_search_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = begun(tmp_path, "complete")
    tasks = [driver.supply(), driver.supply()]
    file = tmp_path / "study.jsonl"
    before = file.read_bytes()

    def half_of_it(fd: int) -> None:
        os.truncate(file, len(before) + 20)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", half_of_it)
        for task in tasks:
            assert task is not None
            assert driver.ended(Ended(task, 0, None, 1.0))
        with pytest.raises(UnwritableError, match=r"cannot be written: No space left on device\."):
            driver.turn([], 0)
    assert file.read_bytes() == before
    again = begun(tmp_path, "complete")
    for task in (again.supply(), again.supply()):
        assert task is not None, "a trial that is not over in the study goes on"
        again.ended(Ended(task, 0, None, 1.0))
    again.turn([], 0)
    assert [trial.values for trial in again.study.get_trials()] == [[0.5], [0.5]]


@pytest.mark.parametrize("over", [True, False])
def test_a_trial_that_is_over_is_not_asked_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: bool
) -> None:
    driver, asked = begun(tmp_path, "complete"), []
    task = driver.supply()
    driver.pool = cast(Any, SimpleNamespace(ask=asked.append))
    monkeypatch.setattr(driver, "_report", lambda run: (20, 0.5))
    monkeypatch.setattr(driver.trials, "prune", lambda task, step, value: not over, raising=False)
    monkeypatch.setattr(Trial, "should_prune", lambda trial: True)
    driver._judge(driver._runs[0])
    assert asked == ([] if over else [task])
