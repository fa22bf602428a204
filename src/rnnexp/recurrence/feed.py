"""What is fed back where the model's output is part of its next input."""

from dataclasses import dataclass
from typing import Literal

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
