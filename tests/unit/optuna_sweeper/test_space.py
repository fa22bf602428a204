"""Override syntax to dimensions, and what is refused in words."""

import sys

import pytest

from hydra_plugins.rnnexp_optuna_sweeper._core import check
from hydra_plugins.rnnexp_optuna_sweeper._space import Choice, Numbers, SearchError
from hydra_plugins.rnnexp_optuna_sweeper.config import OptunaSweeperConf


def options(**changes: object) -> dict[str, object]:
    return {**vars(OptunaSweeperConf()), **changes}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("lr=interval(1,2)", Numbers("lr", 1.0, 2.0)),
        ("lr=tag(log,interval(1e-4,1e-1))", Numbers("lr", 1e-4, 1e-1, log=True)),
        ("n=int(interval(1,8))", Numbers("n", 1, 8, 1)),
        ("n=tag(log,int(interval(1,64)))", Numbers("n", 1, 64, 1, True)),
        ("n=range(2,9,3)", Numbers("n", 2, 8, 3)),
        ("n=range(8,1,-3)", Numbers("n", 2, 8, 3)),
        ("x=range(0.5,2.0,0.5)", Numbers("x", 0.5, 1.5, 0.5)),
        ("+cell=gru,lstm", Choice("+cell", ("gru", "lstm"))),
        ("b=true,null,'a b',[1,2]", Choice("b", ("True", "null", "'a b'", "[1,2]"))),
    ],
)
def test_dimensions(override: str, expected: object) -> None:
    _, fixed, space = check(options(), ["seed=3", override])
    assert fixed == ["seed=3"]
    assert space == [expected]
    kinds = [type(value) for value in (getattr(space[0], "low", 0), getattr(expected, "low", 0))]
    assert kinds[0] is kinds[1], "1 and 1.0 are equal, and not the same"


def test_the_command_line_wins_over_the_config() -> None:
    given = options(params={"lr": "interval(0,1)", "k": "1,2"})
    _, fixed, space = check(given, ["lr=0.5"])
    assert fixed == ["lr=0.5"]
    assert space == [Choice("k", ("1", "2"))]


def test_the_last_of_a_key_wins() -> None:
    _, fixed, space = check(options(), ["k=1,2", "seed=0", "j=1,2", "k=1,2,3", "j=5"])
    assert fixed == ["seed=0", "j=5"]
    assert space == [Choice("k", ("1", "2", "3"))]


def test_a_value_becomes_an_override_that_means_it() -> None:
    assert Numbers("lr", 1e-7, 1.0).override(1e-5) == "lr=1e-05"
    assert Choice("b", ("'a b'",)).override("'a b'") == "b='a b'"


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"sampler": "tpee"}, ["k=1,2"], "Did you mean 'tpe'?"),
        ({"pruner": "mean"}, ["k=1,2"], "Known: hyperband, median, none."),
        ({"directions": ["minimise"]}, ["k=1,2"], "Did you mean 'minimize'?"),
        ({"directions": ["minimize", "maximize"]}, ["k=1,2"], "2 for 1 objectives"),
        ({"objectives": ["a", "b"], "pruner": "median"}, ["k=1,2"], "judges by one objective"),
        ({"objectives": []}, ["k=1,2"], "name each one once"),
        ({"trials": 0}, ["k=1,2"], "at least 1, got 0"),
        ({}, ["k=1"], "nothing to search"),
        ({}, ["k=interval(2,1)"], "to a larger one"),
        ({}, ["k=tag(log,interval(0,1))"], "begins above 0"),
        ({}, ["k=range(3,3)"], "no values"),
        ({}, ["k=tag(lgo,interval(1,2))"], "unknown tag lgo"),
        ({}, ["k=glob(*)"], "List the values"),
        ({"sampler": "grid"}, ["k=interval(1,2)"], "values that can be counted"),
    ],
)
def test_what_cannot_be_is_said(changes: dict[str, object], words: list[str], said: str) -> None:
    with pytest.raises(SearchError) as caught:
        check(options(**changes), words)
    assert said in str(caught.value)


def test_a_grid_has_as_many_trials_as_points() -> None:
    settings, _, _ = check(options(sampler="grid"), ["a=1,2", "b=range(3)"])
    assert settings.trials == 6


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[check.__module__]
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(SearchError, match=r"pip install rnnexp\[optuna\]"):
        check(options(), ["k=1,2"])
