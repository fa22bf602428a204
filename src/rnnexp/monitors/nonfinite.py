"""What happens when a loss or gradient is NaN or infinite: raise, skip the step, or roll back."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from rnnexp.errors import NonFiniteError
from rnnexp.monitors.rate import LoweredRate, rates_of, set_rates

NonFinitePolicy = Literal["raise", "skip", "rollback"]


@dataclass(frozen=True)
class Snapshot:
    """Weights and optimizer state of a step at which the gradient was finite."""

    step: int
    weights: dict[str, Any]
    optimizer: dict[str, Any]


class NonFiniteGuard:
    """Apply the policy before each optimizer step.

    Args:
        policy: ``raise`` ends the run; ``skip`` drops the gradient, so that the step changes
            nothing; ``rollback`` also restores the last good weights and optimizer state and
            lowers the learning rate from then on.
        factor: by which a rollback multiplies the learning rate, in (0, 1]; a schedule goes on,
            multiplied by it.
        max_rollbacks: after so many the run ends as with ``raise``.
        snapshot_every: steps between two snapshots of good weights.
    """

    def __init__(
        self,
        policy: NonFinitePolicy = "raise",
        *,
        factor: float = 0.5,
        max_rollbacks: int = 3,
        snapshot_every: int = 50,
    ) -> None:
        self.policy: NonFinitePolicy = policy
        self.factor = factor
        self.max_rollbacks = max_rollbacks
        self.snapshot_every = snapshot_every
        self.scaled = False
        """Whether a gradient scaler stands before the optimizer, as in 16-bit mixed precision: it
        meets infinite gradients now and then, and skips the step by itself."""
        self.skipped = 0
        self.rollbacks = 0
        self.rate = LoweredRate()
        self._good: Snapshot | None = None

    def watch(self, optimizer: Optimizer) -> None:
        """Have the steps of an optimizer made with the rate that rollbacks leave."""
        if self.policy == "rollback" or self.rate.factor < 1:
            self.rate.attach(optimizer)

    def before_step(
        self, norm: float, step: int, model: nn.Module, optimizer: Optimizer, loss: float = 0.0
    ) -> bool:
        """Let a finite loss and gradient pass; deal with another.

        Args:
            norm: global norm of the raw gradient.
            step: optimizer steps done so far.
            model: whose gradients and weights they are.
            optimizer: about to step.
            loss: may be infinite while its gradient is not.

        Returns:
            Whether there is still a gradient to step by.

        Raises:
            NonFiniteError: the policy is ``raise``; or ``rollback``, and there is no good step
                to go back to, or the rollbacks are used up.
        """
        if math.isfinite(norm) and math.isfinite(loss):
            self._keep(step, model, optimizer)
            return True
        if self.scaled and math.isfinite(loss):
            self.skipped += 1
            return True
        message = _message(norm, loss, step)
        if self.policy == "raise":
            raise NonFiniteError(f"{message}.{_CALMER}, or {_PAST_IT}")
        for parameter in model.parameters():
            parameter.grad = None  # without a gradient the optimizer's step changes nothing
        if self.policy == "skip":
            self.skipped += 1
        else:
            self._roll_back(message, model, optimizer)
        return False

    def state_dict(self) -> dict[str, Any]:
        """Keep the counts over a resume, and what a rollback would return to."""
        good = None if self._good is None else dict(vars(self._good))
        counts = {"skipped": self.skipped, "rollbacks": self.rollbacks}
        return {**counts, "good": good, "rate_factor": self.rate.factor}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with them."""
        self.skipped, self.rollbacks = state_dict["skipped"], state_dict["rollbacks"]
        self.rate.factor = float(state_dict.get("rate_factor", 1.0))
        good = state_dict.get("good")
        self._good = None if good is None else Snapshot(**good)

    def _keep(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        due = self._good is None or step >= self._good.step + self.snapshot_every
        if self.policy == "rollback" and due:
            weights = copy.deepcopy(model.state_dict())
            self._good = Snapshot(step, weights, copy.deepcopy(optimizer.state_dict()))

    def _roll_back(self, message: str, model: nn.Module, optimizer: Optimizer) -> None:
        if self._good is None:
            raise NonFiniteError(
                f"{message}, before any finite step that it could roll back to. Look at the task's "
                "data and the initial weights; unroll.check_finite=true says where it begins."
            )
        if self.rollbacks >= self.max_rollbacks:
            raise NonFiniteError(
                f"{message}, after {self.rollbacks} rollbacks.{_CALMER}, or a higher "
                "monitor.max_rollbacks."
            )
        self.rollbacks += 1
        self.rate.factor *= self.factor
        rates = rates_of(optimizer)  # the schedule has gone on since
        model.load_state_dict(self._good.weights)
        optimizer.load_state_dict(copy.deepcopy(self._good.optimizer))
        set_rates(optimizer, rates)


_CALMER = " Try clip=norm, a lower optimizer.lr"
_PAST_IT = "monitor.nonfinite=skip|rollback to go on past it."


def _message(norm: float, loss: float, step: int) -> str:
    what = "gradient norm" if math.isfinite(loss) else "loss"
    value = norm if math.isfinite(loss) else loss
    return f"The {what} is {value} at step {step + 1}"
