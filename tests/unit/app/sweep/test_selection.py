"""What training feeds its own outputs is judged running free: the best weights, run and trial."""

from pathlib import Path
from typing import cast

import pytest

from rnnexp.app.config.compose import Corner, Job, check_jobs, prepare
from rnnexp.app.config.figures import aim_of, figures_of
from rnnexp.app.run.trainer import make_trainer
from rnnexp.app.sweep.search import Search
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.errors import ConfigError
from rnnexp.tracking import Tracking
from rnnexp.tracking.family import BEST_KEY
from rnnexp.tracking.outcome import NO_BEST, Outcome, best_by
from rnnexp.training.best import KeepBest
from rnnexp.training.early_stop import EarlyStopping
from rnnexp.training.interrupt import StopRequest

WORDS = ["task=char_lm", "task.inputs=none", "cell.hidden_size=4", "trainer.progress=none"]
SEARCH = ["hydra/sweeper=optuna", "optimizer.lr=interval(0.1,1)"]
JUDGED = [("full", "val/loss"), ("free", "val/loss_free"), ("scheduled", "val/loss_free")]


def jobs_of(*words: str, multirun: bool = True) -> list[Job]:
    prepare([])
    return check_jobs([*WORDS, *words], multirun, None)


@pytest.mark.parametrize(("unroll", "judged"), JUDGED)
def test_the_best_weights_and_an_early_stop(tmp_path: Path, unroll: str, judged: str) -> None:
    words = [f"unroll={unroll}", "trainer.early_stop_after=2"]
    (job,) = jobs_of(*words, multirun=False)
    trainer = make_trainer(job.plan, tmp_path, None, StopRequest())
    kinds = (EarlyStopping, KeepBest)
    watching = [callback for callback in trainer.callbacks if isinstance(callback, kinds)]
    assert [callback.monitor for callback in watching] == [judged] * 2


@pytest.mark.parametrize(
    ("unroll", "judged"), [*JUDGED, ("scheduled,free", "val/loss_free"), ("full,free", "val/loss")]
)
def test_the_runs_of_a_sweep(workdir: Path, unroll: str, judged: str) -> None:
    words = [f"unroll={unroll}", "seed=0,1", "sweep.name=mine"]
    sweep = Sweep(jobs_of(*words), words, Tracking("sqlite:///x.db", None), {})
    assert sweep.aim == (f"{judged}_best", "minimize")


def test_no_run_is_the_best_of_several_tasks(workdir: Path) -> None:
    prepare([])
    words = ["task=adding,copy_memory", "sweep.name=mine"]
    sweep = Sweep(check_jobs(words, True, None), words, Tracking("sqlite:///x.db", None), {})
    assert sweep.aim is None
    losses = {"val/loss_best": 0.1, "val/loss_relative": 0.1}
    outcomes = [
        Outcome(item.name, str(item.folder), "FINISHED", metrics=losses) for item in sweep.items
    ]
    # As empty as where no job has a key: what an earlier command has named is no longer true.
    assert sweep.best(outcomes) == {"rnnexp.sweep.best": NO_BEST, BEST_KEY: ""}


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        ("task=copy_memory task.length=20,60", "val/loss_relative_best"),
        ("task=char_lm task.inputs=none task.path=a,b unroll=free", "val/loss_relative_free_best"),
        ("task=copy_memory task.batch_size=4,8", "val/loss_best"),
    ],
)
def test_losses_over_unlike_baselines_are_compared_by_their_shares_of_them(
    workdir: Path, words: str, figure: str
) -> None:
    Path("a").write_text("ab" * 2000)
    Path("b").write_text("abcdefgh" * 500)
    prepare([])
    given = words.split()
    jobs = check_jobs(given, True, None)
    sweep = Sweep(jobs, given, Tracking("sqlite:///x.db", None), {})
    assert sweep.aim == (figure, "minimize")
    assert figure in figures_of(jobs[0].plan)
    corners = check_jobs(["hydra/sweeper=optuna", *given], True, None)
    assert corners[0].settings.objectives == [figure]


def test_an_earlier_command_may_have_had_another_baseline() -> None:
    prepare([])
    plans = [job.plan for job in check_jobs(["task=copy_memory", "task.length=20"], True, None)]
    guess = plans[0].task.baseline_of("val")
    for share, aim in {1.0: "val/loss_best", 2.0: "val/loss_relative_best"}.items():
        metrics = {"val/loss": 0.1 * guess * share, "val/loss_relative": 0.1}
        assert aim_of(plans, [Outcome("n", "f", metrics=metrics)]) == (aim, "minimize")


def test_the_best_is_found_among_jobs_that_did_not_record_the_share() -> None:
    def ended(name: str, loss: float, share: float, **more: float) -> Outcome:
        metrics = {"val/loss": loss, "val/loss_relative": share, "val/loss_best": loss, **more}
        return Outcome(name, "f", "FINISHED", metrics=metrics)

    earlier = [ended("long", 0.1, 0.9), ended("short", 0.3, 0.4)]
    later = ended("longest", 0.05, 0.95, **{"val/loss_relative_best": 0.95})
    named = best_by([*earlier, later], ("val/loss_relative_best", "minimize"))
    assert named["rnnexp.sweep.best"] == "short, val/loss_relative_best 0.4"
    assert earlier[0].figure("test/loss_relative") is None


def test_a_search_over_tasks_says_what_it_is_to_improve(workdir: Path) -> None:
    prepare([])
    words = ["hydra/sweeper=optuna", "task=adding,copy_memory", "seed=0"]
    with pytest.raises(ConfigError, match=r"several tasks \(adding, copy_memory\)"):
        check_jobs(words, True, None)
    named = "hydra.sweeper.objectives=[val/loss_relative]"
    corners = cast("list[Corner]", check_jobs([*words, named], True, None))
    search = Search(corners, words, Tracking("sqlite:///x.db", None), {})
    assert search.aim == ("val/loss_relative", "minimize")


@pytest.mark.parametrize(
    ("words", "judged"),
    [
        *((f"unroll={unroll}", f"{figure}_best") for unroll, figure in JUDGED),
        ("unroll=full,free", "val/loss_best"),
        ("unroll=free hydra.sweeper.objectives=[val/loss]", "val/loss"),
        ("unroll=free hydra.sweeper.objectives=[val/accuracy_free]", "val/accuracy_free"),
    ],
)
def test_the_trials_of_a_search(workdir: Path, words: str, judged: str) -> None:
    corners = cast("list[Corner]", jobs_of(*SEARCH, *words.split()))
    assert {tuple(corner.settings.objectives) for corner in corners} == {(judged,)}
