"""What becomes of a search as its trials end."""

from pathlib import Path
from typing import Any, cast

import pytest

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from hydra_plugins.rnnexp_optuna_sweeper._core import check
from hydra_plugins.rnnexp_optuna_sweeper._driver import Driver
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


@pytest.mark.parametrize("state", ["complete", "pruned", "interrupted", "failed"])
def test_only_a_trial_that_has_failed_may_end_the_search(tmp_path: Path, state: State) -> None:
    settings, fixed, space = check(
        {**vars(OptunaSweeperConf()), "objectives": ["loss"]}, ["x=interval(0,1)"]
    )
    study = open_study(settings, space, tmp_path)
    driver = Driver(study, settings, fixed, space, EndsAs(state), left=2)
    task = driver.supply()
    assert task is not None
    assert driver.ended(Ended(task, 75, None, 1.0)) == (state != "failed")
