"""What training feeds its own outputs is judged running free: the best weights, run and trial."""

from pathlib import Path
from typing import cast

import pytest
from pytorch_lightning.callbacks import EarlyStopping

from rnnexp.app.config.compose import Corner, Job, check_jobs, prepare
from rnnexp.app.run.trainer import make_trainer
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.tracking import Tracking
from rnnexp.training.best import KeepBest
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
