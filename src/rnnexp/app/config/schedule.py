"""Try a learning-rate schedule over the steps that a run will take."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import LRScheduler

from rnnexp.errors import ConfigError
from rnnexp.tasks import GeneratedTask, Pattern, Task
from rnnexp.tasks.stream import BatchStream

if TYPE_CHECKING:
    from rnnexp.app.config.build import Plan

_FIRST = 1000
"""So many steps are tried one after the other, as training takes them."""
_SPREAD = 500
"""So many of the later ones, which a schedule is asked for by number: all would take seconds."""
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it fall evenly between 0 and 1, and on no period of a schedule."""
_ROUNDING = 1e-9
"""What a rate may lie below zero, as a share of the largest so far."""


def over_steps_of(plan: "Plan", attempt: Callable[[int], None]) -> None:
    """Try what is to last for a run, over all steps that it may have.

    Args:
        plan: of the run. Where the attempt fails and fewer epochs may end the run before, its data
            is read, to count the steps that it will have.
        attempt: takes the number of steps.

    Raises:
        ConfigError: the attempt over these fails.
    """
    most = steps = plan.most_steps()
    try:
        attempt(most)
    except ConfigError:
        with suppress(Exception):  # why it cannot be read, the run says
            steps = plan.most_steps(read=True)
        if steps == most:
            raise
        attempt(steps)


def steps_of_run(values: Mapping[str, Any], task: Task, pattern: Pattern, *, read: bool) -> int:
    """Count the steps after which a run is over.

        min(max_steps, max_epochs * ceil(batches of an epoch / accumulate))

    Args:
        values: the config.
        task: made of it. Only one whose sequences are drawn knows its epochs without reading data;
            of any other it is max_steps.
        pattern: where targets stand.
        read: whether data is to be read for it.
    """
    trainer = values["trainer"]
    most: int = trainer["max_steps"]
    if trainer["max_epochs"] is None or not (read or isinstance(task, GeneratedTask)):
        return most
    # A copy keeps what it reads to itself: the plans of a sweep would hold the data of each job.
    batches = len(BatchStream(copy(task), "train", pattern, values["unroll"]["window"]))
    return min(most, trainer["max_epochs"] * -(-batches // trainer["accumulate"]))


def fault_of_schedule(schedule: LRScheduler, steps: int) -> str | None:
    """Say what is wrong with a learning rate that a schedule sets within a run.

    Args:
        schedule: at its beginning; moved on.
        steps: of the run.

    Returns:
        The rate and after how many steps it is set; None where all that were tried can be used.

    Raises:
        ValueError: the schedule itself fails; says after how many steps.
    """
    largest = 0.0
    for step in chain([0], _tried(steps)):
        if step:
            _advance(schedule, step, steps)
        for rate in map(float, schedule.get_last_lr()):
            largest = max(largest, rate)
            if not math.isfinite(rate) or rate < -_ROUNDING * largest:
                return f"sets the learning rate to {rate:g} after {step} of {steps} steps"
    return None


def _tried(steps: int) -> Iterator[int]:
    yield from range(1, min(steps, _FIRST) + 1)
    later = steps - _FIRST
    if later <= _SPREAD:
        yield from range(_FIRST + 1, steps + 1)
    else:
        drawn = {int(later * (n * _GOLDEN % 1)) for n in range(_SPREAD)}
        yield from (_FIRST + 1 + at for at in sorted(drawn | {later - 1}))


def _advance(schedule: LRScheduler, step: int, steps: int) -> None:
    # By number only where steps are left out: the two ways differ by rounding.
    one_more = step == schedule.last_epoch + 1
    try:
        schedule.step(None if one_more else step)
    except Exception as error:  # whatever torch says of a number
        raise ValueError(f"After {step - 1} of {steps} steps: {error}") from error
