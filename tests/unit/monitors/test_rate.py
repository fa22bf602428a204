"""A rollback's lower learning rate lasts, whatever schedule goes on."""

import io
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as schedules
from torch.optim.lr_scheduler import LRScheduler

from rnnexp.app.config.targets import maker
from rnnexp.monitors.nonfinite import NonFiniteGuard

STEPS, BAD = 20, (6, 13)
STILL = {"cycle_momentum": False}  # so that a step is the rate and nothing else
Make = Callable[[Optimizer], LRScheduler]


def in_sequence(optimizer: Optimizer) -> LRScheduler:
    warmup = schedules.LinearLR(optimizer, 0.1, total_iters=4)
    return schedules.SequentialLR(
        optimizer, [warmup, schedules.CosineAnnealingLR(optimizer, 12)], [9]
    )


def chained(optimizer: Optimizer) -> LRScheduler:
    warmup = schedules.LinearLR(optimizer, 0.1, total_iters=4)
    return schedules.ChainedScheduler([warmup, schedules.ExponentialLR(optimizer, 0.9)])


SCHEDULES: dict[str, Make] = {
    "cosine": partial(schedules.CosineAnnealingLR, T_max=STEPS),
    "cosine to a least rate": partial(schedules.CosineAnnealingLR, T_max=STEPS, eta_min=0.02),
    "step": partial(schedules.StepLR, step_size=3, gamma=0.7),
    "warmup": partial(schedules.LinearLR, start_factor=0.01, total_iters=8),
    "milestones": partial(schedules.MultiStepLR, milestones=[3, 8]),
    "constant": partial(schedules.ConstantLR, total_iters=9),
    "exponential": partial(schedules.ExponentialLR, gamma=0.9),
    "polynomial": partial(schedules.PolynomialLR, total_iters=STEPS),
    "restarts": partial(schedules.CosineAnnealingWarmRestarts, T_0=6),
    "cyclic": partial(schedules.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=4, **STILL),
    "one cycle": partial(schedules.OneCycleLR, max_lr=0.1, total_steps=STEPS + 1, **STILL),
    "function": partial(schedules.LambdaLR, lr_lambda=lambda step: 1 / (1 + step)),
    "in sequence": in_sequence,
    "chained": chained,
}


class Descent:
    """One weight, whose gradient is 1: a step of plain SGD moves it by the rate."""

    def __init__(self, make: Make) -> None:
        self.model = nn.ParameterList([nn.Parameter(torch.zeros(1, dtype=torch.float64))])
        self.optimizer = SGD(self.model.parameters(), lr=0.1)
        self.schedule = make(self.optimizer)
        self.guard = NonFiniteGuard("rollback", factor=0.5, snapshot_every=1)
        self.guard.watch(self.optimizer)

    def step(self, number: int, norm: float) -> float:
        weight = self.model[0]
        before = float(weight.detach())
        weight.grad = torch.ones_like(weight)

        def closure() -> None:  # as Lightning does: the gradient is made within the step
            self.guard.before_step(norm, number, self.model, self.optimizer)

        self.optimizer.step(closure)
        self.schedule.step()
        return before - float(weight.detach())

    def save(self) -> io.BytesIO:
        file = io.BytesIO()
        parts = (self.model, self.optimizer, self.schedule, self.guard)
        torch.save([part.state_dict() for part in parts], file)
        file.seek(0)
        return file

    def load(self, file: io.BytesIO) -> None:
        parts = (self.model, self.optimizer, self.schedule, self.guard)
        states = torch.load(file, weights_only=True)
        for part, state in zip(parts, states, strict=True):
            part.load_state_dict(state)


def moves(make: Make, bad: tuple[int, ...] = (), saved_at: int | None = None) -> list[float]:
    descent, found = Descent(make), list[float]()
    for number in range(STEPS):
        if number == saved_at:
            file = descent.save()
            descent = Descent(make)
            descent.load(file)
        found.append(descent.step(number, math.nan if number in bad else 1.0))
    return found


@pytest.mark.parametrize("saved_at", [None, BAD[0] + 1, BAD[1]])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore:.*epoch parameter in `scheduler.step.*:UserWarning")
def test_what_the_schedule_says_is_lowered_from_then_on(name: str, saved_at: int | None) -> None:
    plain, lowered = moves(SCHEDULES[name]), moves(SCHEDULES[name], BAD, saved_at)
    first, second = BAD
    assert lowered[:first] == pytest.approx(plain[:first], abs=1e-12)
    between = [rate / 2 for rate in plain[first + 1 : second]]
    assert lowered[first + 1 : second] == pytest.approx(between, abs=1e-12)
    assert lowered[second + 1 :] == pytest.approx([r / 4 for r in plain[second + 1 :]], abs=1e-12)
    assert max(plain[second + 1 :]) > 0


def test_without_a_schedule() -> None:
    lowered = moves(partial(schedules.ConstantLR, factor=1.0), BAD)
    assert lowered[-1] == pytest.approx(0.025)


def test_every_schedule_that_a_config_can_name_is_tested() -> None:
    named = {
        name
        for name, cls in vars(schedules).items()
        if isinstance(cls, type) and issubclass(cls, LRScheduler) and not name.startswith("_")
    }
    tested = {type(make(SGD([torch.zeros(1)], lr=0.1))).__name__ for make in SCHEDULES.values()}
    apart = {
        "LRScheduler",  # abstract
        "MultiplicativeLR",  # takes a function, which no config can hold
        "ReduceLROnPlateau",  # follows a figure, which Lightning is not told
        "SWALR",
    }
    assert named - apart == tested
    assert maker({"_target_": "torch.optim.lr_scheduler.CyclicLR"}, "scheduler") is not None
