"""What is fed back where the model's output is part of its next input."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.export import register_dataclass

from rnnexp.errors import ConfigError, check_choice

ScheduleKind = Literal["constant", "linear", "exponential", "inverse_sigmoid"]
FeedMode = Literal["teacher", "free", "scheduled"]


@dataclass(frozen=True)
class Feed:
    """Which value stands for y_{t-1} in the input of step t.

    Args:
        mode: ``teacher`` feeds the target back, which maximises the likelihood of the whole
            sequence; ``free`` the model's own output; ``scheduled`` tosses a coin for each row
            and step.
        teacher_share: probability of the target under ``scheduled``, in [0, 1].

    Source: scheduled sampling: Bengio et al. 2015, section 2.4; no gradient flows through what
        was sampled.
    """

    mode: FeedMode = "teacher"
    teacher_share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse another mode, which would run as one of these.

        Raises:
            ConfigError: no such mode; a share outside [0, 1].
        """
        check_choice("feed", self.mode, get_args(FeedMode))
        if not 0 <= self.teacher_share <= 1:
            raise ConfigError(f"teacher_share: must be in [0, 1], got {self.teacher_share}.")

    @classmethod
    def teacher(cls) -> "Feed":
        """Feed the targets back."""
        return cls("teacher")

    @classmethod
    def free(cls) -> "Feed":
        """Feed the model's own outputs back."""
        return cls("free", 0.0)

    @classmethod
    def scheduled(cls, teacher_share: float) -> "Feed":
        """Feed the target back with this probability, else the model's own output."""
        return cls("scheduled", teacher_share)

    def mixed(self, own_BO: Tensor, targets_TBO: Tensor | None, t: int) -> Tensor:
        """Give what is fed back after step t; not for ``teacher``, which needs no output.

        Args:
            own_BO: the model's own output, encoded as it is fed back.
            targets_TBO: likewise; may be left out under ``free``.
            t: the step.
        """
        if self.mode == "free":
            return own_BO
        assert targets_TBO is not None, "scheduled feeding needs the targets"
        coin_B1 = torch.rand(own_BO.shape[:-1], device=own_BO.device).unsqueeze(-1)
        return torch.where(coin_B1 < self.teacher_share, targets_TBO[t], own_BO.detach())


register_dataclass(Feed, serialized_type_name="rnnexp.recurrence.Feed")  # as `NetworkState` is


@dataclass(frozen=True)
class Schedule:
    """How the share of targets falls over training under scheduled sampling.

        constant         start
        linear           max(floor, start - i / steps)
        exponential      start * exp(-i / steps)
        inverse_sigmoid  start * k / (k + exp(i / k)),  k = steps

    Args:
        kind: the form.
        start: share of targets in the beginning, in [0, 1].
        floor: least share of the linear form.
        steps: optimizer steps that set the pace, above 0.

    Source: Bengio et al. 2015, section 2.4. Theirs are max(e, k - c i), k^i and k / (k + exp(i/k)).
    """

    kind: ScheduleKind = "constant"
    start: float = 1.0
    floor: float = 0.0
    steps: float = 1000.0

    def share(self, step: int) -> float:
        """Compute the share of targets after a number of optimizer steps."""
        if self.kind == "linear":
            return max(self.floor, self.start - step / self.steps)
        if self.kind == "exponential":
            return self.start * math.exp(-step / self.steps)
        if self.kind == "inverse_sigmoid":
            k = self.steps
            return self.start * k / (k + math.exp(min(step / k, 700.0)))  # e^700 is near the end
        return self.start


def check_targets(feed: Feed, targets_TBO: Tensor | None, shape: tuple[int, ...]) -> None:
    """Refuse to feed back targets that were not given, or are not shaped as the outputs.

    Args:
        feed: what is fed back.
        targets_TBO: the targets; of no account under ``free``.
        shape: of the outputs of all steps.

    Raises:
        ConfigError: says what to give.
    """
    if feed.mode == "free":
        return
    if targets_TBO is None:
        raise ConfigError(
            f"feeding {feed.mode}: the targets are fed back, and none were given. Give targets_TBO "
            "as the outputs are shaped, or feed=Feed.free()."
        )
    if targets_TBO.shape != shape:
        raise ConfigError(
            f"targets_TBO: expected shape {shape}, as the outputs of all steps have it, got "
            f"{tuple(targets_TBO.shape)}."
        )
