"""A schedule that goes on over more steps sets what one of that length from the start would."""

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import SGD
from torch.optim import lr_scheduler as schedules
from torch.optim.lr_scheduler import LRScheduler

from rnnexp.training.schedule_length import LENGTHS, keep_length

REACHING = {
    "T_max": partial(schedules.CosineAnnealingLR, eta_min=1e-3),
    "total_iters": partial(schedules.LinearLR, start_factor=0.1),
    "total_iters of a power": partial(schedules.PolynomialLR, power=2.0),
    "total_steps": partial(schedules.OneCycleLR, max_lr=0.3),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a schedule here has no optimizer that steps
        yield


def made(name: str, length: int) -> LRScheduler:
    make: Any = REACHING[name]
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.5)
    return make(optimizer, **{name.partition(" ")[0]: length})


def rates_of(schedule: LRScheduler, steps: int) -> list[float]:
    found = [float(schedule.optimizer.param_groups[0]["lr"])]
    for _ in range(steps):
        schedule.step()
        found.append(float(schedule.optimizer.param_groups[0]["lr"]))
    return found


def restored(name: str, broken: LRScheduler, length: int) -> LRScheduler:
    schedule = made(name, length)
    before = schedule.state_dict()
    schedule.optimizer.load_state_dict(broken.optimizer.state_dict())
    schedule.load_state_dict(broken.state_dict())
    keep_length(schedule, before)
    return schedule


@pytest.mark.parametrize("name", REACHING)
def test_it_goes_on_as_one_that_was_as_long_from_the_start(name: str) -> None:
    assert name.partition(" ")[0] in LENGTHS
    broken = made(name, 6)
    rates_of(broken, 5)
    whole = rates_of(made(name, 9), 8)
    assert rates_of(restored(name, broken, 9), 3) == pytest.approx(whole[5:])


@pytest.mark.parametrize("name", REACHING)
def test_one_of_the_same_length_goes_on_bit_for_bit(name: str) -> None:
    broken = made(name, 9)
    rates_of(broken, 5)
    assert rates_of(restored(name, broken, 9), 3) == rates_of(made(name, 9), 8)[5:]
