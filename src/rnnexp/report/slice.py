"""The picture of the loss along one direction."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from rnnexp.report.curves import COLOURS
from rnnexp.report.series import write_csv


@dataclass(frozen=True)
class Slice:
    """The loss along the raw gradient of a step.

    Args:
        step: the optimizer step.
        distances: how far against the gradient, in units of weight.
        losses: the loss there.
        norm: the raw gradient norm.
        lr: the learning rate of the step.
        threshold: the clipping threshold of the norm, if it was clipped.
    """

    step: int
    distances: list[float]
    losses: list[float]
    norm: float
    lr: float
    threshold: float | None = None

    @property
    def marks(self) -> dict[str, float]:
        """Where plain gradient steps lead, by name."""
        # Where an optimizer other than plain SGD went instead is not on this line.
        marks = {"weights of the step": 0.0, "raw step of plain SGD": self.lr * self.norm}
        if self.threshold is not None:
            marks["clipped step of plain SGD"] = self.lr * min(self.norm, self.threshold)
        return marks


def draw_slice(along: Slice, file: Path) -> list[Path]:
    """Draw the loss over the distance, and where a raw and a clipped step lead.

    Args:
        along: the slice.
        file: where the PNG goes; its numbers stand beside it as CSV.

    Returns:
        The PNG and the CSV.
    """
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    axes.plot(along.distances, along.losses, color=COLOURS[0], linewidth=1.6)
    for (name, distance), colour in zip(along.marks.items(), COLOURS[1:], strict=False):
        axes.axvline(distance, color=colour, linestyle="--", linewidth=1.2, label=name)
    axes.set_xlabel("distance against the raw gradient (units of weight)")
    axes.set_ylabel("loss of the step's batch")
    axes.set_title(
        f"step {along.step}, |grad| {along.norm:.3g}, lr {along.lr:.3g}", loc="left", fontsize=11
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=130)
    plt.close(figure)
    rows = zip(along.distances, along.losses, strict=True)
    return [file, write_csv(file.with_suffix(".csv"), ("distance", "loss"), rows)]
