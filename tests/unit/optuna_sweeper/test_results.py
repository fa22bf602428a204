"""What is drawn of a search."""

from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hydra_plugins.rnnexp_optuna_sweeper._core import check
from hydra_plugins.rnnexp_optuna_sweeper._results import draw
from hydra_plugins.rnnexp_optuna_sweeper._study import distributions_of, open_study
from hydra_plugins.rnnexp_optuna_sweeper.config import OptunaSweeperConf


def test_trials_that_are_all_the_same_are_drawn_without_a_warning(tmp_path: Path) -> None:
    settings, _, space = check(vars(OptunaSweeperConf()), ["x=interval(0,1)", "y=interval(0,1)"])
    study = open_study(settings, space, tmp_path)
    study.tell(study.ask(distributions_of(space)), 1.0)
    assert [file.name for file in draw(study, tmp_path)] == ["history.png", "parallel.png"]


def test_what_trials_reported_is_drawn_over_whole_validations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**vars(OptunaSweeperConf()), "objectives": ["val/loss_best"]}
    settings, _, space = check(options, ["x=interval(0,1)", "y=interval(0,1)"])
    study = open_study(settings, space, tmp_path)
    trial = study.ask(distributions_of(space))
    for number in (1, 2):
        trial.report(0.5, number)
    study.tell(trial, 0.5)
    drawn: list[Axes] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: drawn.extend(self.axes[:1]))
    draw(study, tmp_path)
    reports = drawn[-1]
    assert (reports.get_xlabel(), reports.get_ylabel()) == ("validation", "val/loss")
    assert all(float(tick).is_integer() for tick in reports.get_xticks())
