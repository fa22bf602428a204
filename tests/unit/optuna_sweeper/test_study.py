"""The study on disk: torn, gone on with, counted."""

import platform
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hydra_plugins.rnnexp_optuna_sweeper._core import check
from hydra_plugins.rnnexp_optuna_sweeper._space import SearchError
from hydra_plugins.rnnexp_optuna_sweeper._study import (
    FILE,
    distributions_of,
    enqueue_failed,
    left,
    open_study,
)
from hydra_plugins.rnnexp_optuna_sweeper.config import OptunaSweeperConf
from hydra_plugins.rnnexp_optuna_sweeper.report import read_reports, write_report


def asked(*words: str, **changes: object):
    settings, _, space = check(
        {**vars(OptunaSweeperConf()), **changes}, words or ("x=interval(0,1)",)
    )
    return settings, space


def test_a_torn_line_and_a_stale_lock_do_no_harm(tmp_path: Path) -> None:
    settings, space = asked()
    study = open_study(settings, space, tmp_path)
    for value in (1.0, 2.0):
        study.tell(study.ask(distributions_of(space)), value)
    with (tmp_path / FILE).open("a") as file:
        file.write('{"op_code":6,"tri')
    (tmp_path / f"{FILE}.lock").touch()
    again = open_study(settings, space, tmp_path)
    assert [trial.values for trial in again.trials] == [[1.0], [2.0]]
    again.tell(again.ask(distributions_of(space)), 3.0)
    assert len(open_study(settings, space, tmp_path).trials) == 3


def test_a_search_that_goes_on_does_not_suggest_the_same_again(tmp_path: Path) -> None:
    settings, space = asked(sampler="random")
    for _ in range(3):
        study = open_study(settings, space, tmp_path)
        study.tell(study.ask(distributions_of(space)), 1.0)
    assert len({trial.params["x"] for trial in study.trials}) == 3


def test_failed_trials_are_counted_once(tmp_path: Path) -> None:
    settings, space = asked()
    study = open_study(settings, space, tmp_path)
    study.tell(study.ask(distributions_of(space)), 1.0)
    study.tell(study.ask(distributions_of(space)), state=TrialState.FAIL)
    study.ask(distributions_of(space))
    assert left(study.trials, wanted=3) == 0
    enqueue_failed(study)
    enqueue_failed(study)
    assert left(study.trials, wanted=3) == 1
    assert [trial.state for trial in study.trials].count(TrialState.WAITING) == 1
    again = study.ask(distributions_of(space))
    assert again.params == study.trials[1].params
    study.tell(again, 2.0)
    assert (left(study.trials, wanted=3), left(study.trials, wanted=5)) == (0, 2)


def test_values_that_failed_several_times_are_made_again_once(tmp_path: Path) -> None:
    settings, space = asked("x=1,2", sampler="random", seed=0)
    study = open_study(settings, space, tmp_path)
    for _ in range(8):
        trial = study.ask(distributions_of(space))
        fails = trial.params["x"] == "1"
        study.tell(trial, None if fails else 1.0, state=TrialState.FAIL if fails else None)
    assert [trial.state for trial in study.trials].count(TrialState.FAIL) > 1
    assert left(study.trials, wanted=8) == 0, "none makes another again: they were suggested"
    for value in (None, 1.0):
        enqueue_failed(study)
        assert left(study.trials, wanted=8) == 1
        again = study.ask(distributions_of(space))
        assert again.params == {"x": "1"}
        study.tell(again, value, state=TrialState.COMPLETE if value else TrialState.FAIL)
    enqueue_failed(study)
    assert left(study.trials, wanted=8) == 0


def test_a_grid_is_walked_once_and_may_grow(tmp_path: Path) -> None:
    def walk(*words: str) -> None:
        settings, space = asked(*words, sampler="grid")
        study = open_study(settings, space, tmp_path)
        while any(t.state == TrialState.WAITING for t in study.trials):
            study.tell(study.ask(distributions_of(space)), 1.0)

    walk("a=range(2)", "b=range(1,3)")
    walk("a=range(3)", "b=range(1,3)")
    settings, space = asked("a=range(3)", "b=range(1,3)", sampler="grid")
    found = [tuple(t.params.values()) for t in open_study(settings, space, tmp_path).trials]
    assert sorted(found) == [(a, b) for a in range(3) for b in (1, 2)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler_options": {"n_startup": 3}}, "Did you mean 'n_startup_trials'?"),
        ({"pruner": "hyperband", "pruner_options": {"min_resource": 0}}, "min_resource"),
        ({"storage": "nonsense"}, "hydra.sweeper.storage=nonsense"),
    ],
)
def test_options_that_optuna_does_not_take(tmp_path: Path, changes, said: str) -> None:
    settings, space = asked(**changes)
    with pytest.raises(SearchError) as caught:
        open_study(settings, space, tmp_path)
    assert said in str(caught.value)


def test_other_objectives_are_another_search(tmp_path: Path) -> None:
    settings, space = asked()
    open_study(settings, space, tmp_path)
    for changes in ({"objectives": ["b"]}, {"directions": ["maximize"]}):
        with pytest.raises(SearchError, match="has begun with the objectives val/loss"):
            open_study(asked(**changes)[0], space, tmp_path)


def test_bounds_may_change_and_a_list_may_not(tmp_path: Path) -> None:
    settings, space = asked("x=interval(0,1)", "k=a,b")
    study = open_study(settings, space, tmp_path)
    study.tell(study.ask(distributions_of(space)), 1.0)
    open_study(settings, asked("x=interval(0,9)", "k=a,b")[1], tmp_path)
    for words in (("x=interval(0,1)", "k=a,b,c"), ("x=1,2", "k=a,b")):
        with pytest.raises(SearchError, match="a list may not"):
            open_study(settings, asked(*words)[1], tmp_path)


def test_a_database_keeps_the_trials_too(tmp_path: Path) -> None:
    settings, space = asked(storage=f"sqlite:///{tmp_path}/trials.db")
    study = open_study(settings, space, tmp_path)
    study.tell(study.ask(distributions_of(space)), 1.0)
    assert len(open_study(settings, space, tmp_path).trials) == 1


def test_a_database_keeps_searches_of_two_folders_apart(tmp_path: Path) -> None:
    settings, space = asked(storage=f"sqlite:///{tmp_path}/trials.db")
    mine, yours = tmp_path / "mine" / "search", tmp_path / "yours" / "search"
    for folder in (mine, yours):
        folder.mkdir(parents=True)
    open_study(settings, space, mine)
    with pytest.raises(SearchError, match=f"its search 'search' is that of {mine}. Give this one"):
        open_study(settings, space, yours)
    open_study(settings, space, yours.with_name("other"))
    assert open_study(settings, space, mine).trials == []


def test_a_search_in_a_database_goes_with_its_folder(tmp_path: Path) -> None:
    settings, space = asked(storage=f"sqlite:///{tmp_path}/trials.db")
    here, there = tmp_path / "here" / "search", tmp_path / "there" / "search"
    here.mkdir(parents=True)
    study = open_study(settings, space, here)
    study.tell(study.ask(distributions_of(space)), 1.0)
    here.parent.rename(there.parent)
    assert len(open_study(settings, space, there).trials) == 1, "the project was moved"
    here.mkdir(parents=True)
    with pytest.raises(SearchError, match=f"is that of {there}"):
        open_study(settings, space, here)


def test_a_folder_that_another_machine_has_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, space = asked(storage=f"sqlite:///{tmp_path}/trials.db")
    theirs, mine = tmp_path / "theirs" / "search", tmp_path / "mine" / "search"
    mine.mkdir(parents=True)
    with monkeypatch.context() as there:
        there.setattr(platform, "node", lambda: "alpha")
        open_study(settings, space, theirs)
    with pytest.raises(SearchError, match=f"is that of {theirs} on alpha.*on alpha once"):
        open_study(settings, space, mine)
    theirs.mkdir(parents=True)
    assert open_study(settings, space, theirs).trials == [], "the same path is the same folder"


@pytest.mark.parametrize("storage", [None, "sqlite:///{}/trials.db"])
def test_trials_that_are_none_of_the_search_are_put_by(
    tmp_path: Path, storage: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, space = asked(storage=storage and storage.format(tmp_path))
    (tmp_path / "mine").mkdir()
    open_study(settings, space, tmp_path / "mine", "were made elsewhere")
    assert capsys.readouterr().err == "", "there are none yet"
    for name in ("mine-before-1", "mine-before-2"):
        study = open_study(settings, space, tmp_path / "mine")
        study.tell(study.ask(distributions_of(space)), 1.0)
        other = asked("y=1,2", storage=settings.storage, objectives=["b"])
        again = open_study(*other, tmp_path / "mine", "were made elsewhere")
        assert (again.trials, again.metric_names) == ([], ["b"])
        assert "mine: its trials so far (1) were made elsewhere" in (
            said := capsys.readouterr().err
        )
        assert f"kept as the study '{name}'" in said
        kept = optuna.load_study(study_name=name, storage=again._storage)
        assert [trial.values for trial in kept.trials] == [[1.0]]
        optuna.delete_study(study_name="mine", storage=again._storage)


def test_reports_survive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    assert read_reports(tmp_path) == {}
    write_report(tmp_path, 10, 0.5)
    with (tmp_path / "reports.jsonl").open("a") as file:
        file.write('{"step": 2')
    assert read_reports(tmp_path) == {10: 0.5}
    for step, value in ((20, 0.4), (30, 0.3), (10, 9.0)):
        write_report(tmp_path, step, value)
    assert read_reports(tmp_path) == {10: 0.5, 30: 0.3}, "one is lost with the torn line"
