"""The picture of the loss along one direction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rnnexp.report.curves import COLOURS
from rnnexp.report.series import write_csv

HALF = 100
"""Points of a line to either side of the weights."""
REACH = 1.2
"""Lengths of the step that a line reaches to either side."""
APART = 4
"""Where the raw step is so many times as long as the clipped one, each has a line of its own."""
SPAN = 100
"""Where the largest loss is so many times the smallest, they are drawn on a log scale."""
MARGIN = 0.07


@dataclass(frozen=True)
class Slice:
    """The loss along the raw gradient of a step.

    Args:
        step: the optimizer step.
        distances: how far against the gradient, in units of weight, ascending; those around each
            of `steps_of`.
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


def steps_of(lr: float, norm: float, threshold: float | None) -> list[float]:
    """Give the lengths of the plain gradient steps around which the loss is worth a look.

    Returns:
        That of the raw step, before it that of the clipped one where it is much shorter.
    """
    clipped = lr * min(norm, math.inf if threshold is None else threshold)
    return [clipped, lr * norm] if clipped < lr * norm / APART else [lr * norm]


def distances_around(length: float) -> list[float]:
    """Spread points evenly over a line, a step's length and a fifth of it to either side."""
    return [REACH * length * i / HALF for i in range(-HALF, HALF + 1)]


def draw_slice(along: Slice, file: Path) -> list[Path]:
    """Draw the loss over the distance, and where a raw and a clipped step lead.

    Where clipping made the step much shorter, each of the two has a panel. The losses between the
    marks fill a panel's height: those behind the step may be larger by any number of decades.

    Args:
        along: the slice.
        file: where the PNG goes; its numbers stand beside it as CSV.

    Returns:
        The PNG and the CSV.
    """
    lengths = steps_of(along.lr, along.norm, along.threshold)
    size, count = (8 if len(lengths) == 1 else 11, 4.2), len(lengths)
    figure, panels = plt.subplots(1, count, figsize=size, layout="constrained", squeeze=False)
    for axes, length in zip(panels[0], lengths, strict=True):
        _draw_panel(axes, along, length)
    panels[0, 0].set_ylabel("loss of the step's batch")
    title = f"step {along.step}, |grad| {along.norm:.3g}, lr {along.lr:.3g}"
    panels[0, 0].set_title(title, loc="left", fontsize=11)
    handles, labels = panels[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    figure.savefig(file, dpi=130)
    plt.close(figure)
    rows = zip(along.distances, along.losses, strict=True)
    return [file, write_csv(file.with_suffix(".csv"), ("distance", "loss"), rows)]


def _draw_panel(axes: Axes, along: Slice, length: float) -> None:
    axes.plot(along.distances, along.losses, color=COLOURS[0], linewidth=1.6)
    for (name, distance), colour in zip(along.marks.items(), COLOURS[1:], strict=False):
        axes.axvline(distance, color=colour, linestyle="--", linewidth=1.2, label=name)
    axes.set_xlim(-REACH * length, REACH * length)
    axes.set_xlabel("distance against the raw gradient (units of weight)")
    axes.grid(alpha=0.3)
    at = dict(zip(along.distances, along.losses, strict=True))
    losses = {distance: at[distance] for distance in distances_around(length)}
    finite = {d: loss for d, loss in losses.items() if math.isfinite(loss)}
    if (lost := len(losses) - len(finite)) > 0:
        axes.set_title(f"no finite loss at {lost} of {len(losses)} points", loc="right", fontsize=9)
    between = [loss for distance, loss in finite.items() if 0 <= distance <= length]
    _limit(axes, between if len(between) > 1 else list(finite.values()))


def _limit(axes: Axes, losses: Sequence[float]) -> None:
    low, high = min(losses, default=1.0), max(losses, default=1.0)
    if low > 0 and high > SPAN * low:
        axes.set_yscale("log")
        room = (high / low) ** MARGIN
        axes.set_ylim(low / room, high * room)
    elif high > low:
        room = (high - low) * MARGIN
        axes.set_ylim(low - room, high + room)
