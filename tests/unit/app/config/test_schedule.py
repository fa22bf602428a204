"""A learning rate that no run can use is refused before the run; after which step is said."""

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import SWALR

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.schedule import fault_of_schedule
from rnnexp.errors import UserError

LONG = 10**6
CASES = [
    (partial(schedules.CosineAnnealingLR, T_max=100, eta_min=0.0), 100),
    (partial(schedules.CosineAnnealingLR, T_max=5000), LONG),
    (partial(schedules.StepLR, step_size=10, gamma=0.5), LONG),
    (partial(schedules.LinearLR, start_factor=0.3333, end_factor=0.0, total_iters=77), 200),
    (partial(schedules.OneCycleLR, max_lr=0.1, total_steps=LONG), LONG),
    (partial(schedules.CyclicLR, base_lr=0.0, max_lr=0.1), LONG),
    (partial(schedules.CosineAnnealingWarmRestarts, T_0=10, T_mult=2), LONG),
    (partial(schedules.PolynomialLR, total_iters=2000, power=2.0), LONG),
    (partial(SWALR, swa_lr=0.05), LONG),
]


def fault(make: Any, steps: int) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01, momentum=0.5)
        return fault_of_schedule(make(optimizer), steps)


@pytest.mark.parametrize(("make", "steps"), CASES)
def test_a_schedule_that_stays_above_zero_is_taken(make: Any, steps: int) -> None:
    assert fault(make, steps) is None


@pytest.mark.parametrize(
    ("make", "steps", "said"),
    [
        (partial(schedules.StepLR, step_size=7, gamma=-1.0), 10, "-0.01 after 7 of 10 steps"),
        (partial(schedules.StepLR, step_size=1, gamma=1e200), 10, "inf after 2 of 10 steps"),
        (partial(schedules.CyclicLR, base_lr=-1.0, max_lr=0.1), 10, "-1 after 0 of 10 steps"),
        # Far beyond the steps that are tried one by one, and for a short while only.
        (partial(schedules.CosineAnnealingLR, T_max=LONG, eta_min=-1e-4), LONG, "of 1000000 steps"),
        (partial(schedules.CosineAnnealingLR, T_max=5000, eta_min=-1e-4), LONG, "rate to -"),
    ],
)
def test_a_rate_that_is_none_is_found(make: Any, steps: int, said: str) -> None:
    assert said in str(fault(make, steps))


@pytest.mark.parametrize("steps", [51, 5000, LONG])
def test_a_schedule_that_ends_before_the_run_is_found(steps: int) -> None:
    with pytest.raises(ValueError, match=r"After \d+ of \d+ steps: Tried to step \d+ times"):
        fault(partial(schedules.OneCycleLR, max_lr=0.1, total_steps=50), steps)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("scheduler=cosine scheduler.eta_min=-1", "CosineAnnealingLR with scheduler.T_max=1000, "),
        ("scheduler=step scheduler.step_size=-2", "scheduler.step_size: expected a count of 1 or"),
        ("scheduler=cosine scheduler.T_max=-1", "scheduler.T_max: expected a count of 1 or more"),
        ("scheduler=warmup scheduler.total_iters=0", "scheduler.total_iters: expected a count of"),
    ],
)
def test_the_options_are_named(workdir: object, words: str, said: str) -> None:
    prepare([])
    with pytest.raises(UserError) as refused:
        check_jobs(words.split(), multirun=False, config_dir=None)
    assert said in str(refused.value)


EPOCHS = ["task.train_batches=7", "task.length=20", "trainer.max_epochs=2"]
STEPS = [
    ([*EPOCHS, "trainer.max_steps=99"], 14),
    ([*EPOCHS, "trainer.max_steps=9"], 9),
    ([*EPOCHS, "trainer.accumulate=3"], 6),  # the last of an epoch is of one batch
    ([*EPOCHS, "task=copy_memory", "unroll.window=7"], 84),  # windows of 40 time steps
    (["task=digits", "trainer.max_epochs=2"], 1000),  # its data is not read for this
]


@pytest.mark.parametrize(("words", "steps"), STEPS)
def test_a_run_is_over_with_its_last_epoch(workdir: object, words: list[str], steps: int) -> None:
    prepare([])
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    assert plan.most_steps() == steps


def test_a_schedule_is_tried_to_the_end_of_the_last_epoch(workdir: object) -> None:
    prepare([])
    words = ["scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "+scheduler.max_lr=0.1"]
    words += ["+scheduler.total_steps=14", *EPOCHS]
    assert check_jobs(words, multirun=False, config_dir=None)
    with pytest.raises(UserError, match="After 14 of 15 steps: Tried to step"):
        check_jobs([*words, "task.train_batches=8", "trainer.max_steps=15"], False, None)


def test_data_is_read_to_count_epochs_where_a_schedule_ends_before_the_run(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare([])
    words = ["task=digits", "task.batch_size=100", "trainer.max_epochs=2"]  # of 12 full batches
    words += ["scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "+scheduler.max_lr=0.1"]
    (job,) = check_jobs([*words, "+scheduler.total_steps=24"], multirun=False, config_dir=None)
    assert "_data" not in vars(job.plan.task), "it is not kept"
    with pytest.raises(UserError, match="After 23 of 24 steps: Tried to step"):
        check_jobs([*words, "+scheduler.total_steps=23"], multirun=False, config_dir=None)
    monkeypatch.setattr(type(job.plan.task), "sequences", None)
    with pytest.raises(UserError, match="After 24 of 1000 steps: Tried to step"):
        check_jobs([*words, "+scheduler.total_steps=24"], multirun=False, config_dir=None)
