"""A learning rate below the one that a schedule sets, whatever the schedule computes it from."""

from typing import Any

from torch.optim import Optimizer


class LoweredRate:
    """Multiply the learning rate at the moment of each optimizer step.

        rate of step n = factor * (what the schedule says for step n)

    Between two steps the optimizer holds the schedule's own rate. Schedules differ in what they
    compute the next one from: the rate before, the first one, or bounds of their own. None of them
    sees the factor, so none can undo it, and none applies it twice.
    """

    def __init__(self) -> None:
        self.factor = 1.0
        self._planned: list[Any] = []

    def attach(self, optimizer: Optimizer) -> None:
        """Stand before and after every step of an optimizer."""
        optimizer.register_step_pre_hook(self._lower)
        optimizer.register_step_post_hook(self._put_back)

    def of(self, optimizer: Optimizer) -> float:
        """Say the rate of the step that is under way, or would be next."""
        planned = self._planned or rates_of(optimizer)
        return float(planned[0]) * self.factor

    def _lower(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        del args, kwargs
        self._planned = rates_of(optimizer)
        set_rates(optimizer, [rate * self.factor for rate in self._planned])

    def _put_back(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        del args, kwargs
        set_rates(optimizer, self._planned)
        self._planned = []


def rates_of(optimizer: Optimizer) -> list[Any]:
    """Read the learning rate of each group of parameters."""
    return [group["lr"] for group in optimizer.param_groups]


def set_rates(optimizer: Optimizer, rates: list[Any]) -> None:
    """Set the learning rate of each group of parameters."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
