"""What is drawn of a search."""

from pathlib import Path

from hydra_plugins.rnnexp_optuna_sweeper._core import check
from hydra_plugins.rnnexp_optuna_sweeper._results import draw
from hydra_plugins.rnnexp_optuna_sweeper._study import distributions_of, open_study
from hydra_plugins.rnnexp_optuna_sweeper.config import OptunaSweeperConf


def test_trials_that_are_all_the_same_are_drawn_without_a_warning(tmp_path: Path) -> None:
    settings, _, space = check(vars(OptunaSweeperConf()), ["x=interval(0,1)", "y=interval(0,1)"])
    study = open_study(settings, space, tmp_path)
    study.tell(study.ask(distributions_of(space)), 1.0)
    assert [file.name for file in draw(study, tmp_path)] == ["history.png", "parallel.png"]
