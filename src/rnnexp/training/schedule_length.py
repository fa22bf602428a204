"""A schedule of the learning rate that goes on over another number of steps."""

import warnings
from collections.abc import Mapping
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

LENGTHS = ("T_max", "total_iters", "total_steps")
"""What torch's schedules call the number of steps that they reach over."""
_WHERE = ("base_lrs", "last_epoch", "_step_count")


def keep_length(schedule: LRScheduler, made: Mapping[str, Any]) -> None:
    """Give a schedule that was restored the length that it was made with, if that is another.

        rate of step n = what a schedule of this length sets at step n, from the kept first rate

    Args:
        schedule: with the state of a checkpoint.
        made: its state before that.
    """
    kept = schedule.state_dict()
    if all(kept.get(name) == made.get(name) for name in LENGTHS):
        return
    schedule.load_state_dict({**made, **{name: kept[name] for name in _WHERE}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # to set it by number is deprecated, and the only way
        schedule.step(schedule.last_epoch)
