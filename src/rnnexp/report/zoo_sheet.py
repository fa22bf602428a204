"""Many cells on one sheet: what becomes of the gradient at the start, and what is learned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rnnexp.report.curves import COLOURS
from rnnexp.report.series import Series, drawable, write_csv
from rnnexp.report.words import literal
from rnnexp.tracking import load_run

ACROSS = 5
LOWEST = -12.0
"""Decades below which a flow is not told apart from nothing."""


@dataclass(frozen=True)
class Specimen:
    """One cell of the sheet.

    Args:
        name: of the cell.
        family: its heading.
        flow_T: log10 of ||dL/dh_t|| over its value at the last step that has one, up to that step,
            before the first update.
        losses: step and validation loss.
    """

    name: str
    family: str
    flow_T: tuple[float, ...]
    losses: Series


def specimen_of(name: str, family: str, folder: Path) -> Specimen:
    """Read a cell's run: its first recorded flow, and its validation losses."""
    record = load_run(folder)
    first = [norms for profiles in record.profiles.values() for _, norms in profiles[:1]]
    return Specimen(name, family, _decades(first[0]) if first else (), record.metrics["val/loss"])


def draw_sheet(specimens: Sequence[Specimen], baseline: float, file: Path) -> list[Path]:
    """Draw two small panels for each cell, all on the same axes.

    Left, the flow of the gradient back through time at initialisation, on a log scale; right, the
    validation loss over training, on a log scale, with the loss of a guess.

    Args:
        specimens: the cells, in the order in which they stand.
        baseline: the loss of a guess on the validation sequences.
        file: where the PNG goes; its numbers stand beside it as CSV.

    Returns:
        The PNG and the CSV.
    """
    down = -(-len(specimens) // ACROSS)
    figure, grid = plt.subplots(
        down,
        2 * ACROSS,
        figsize=(3.4 * ACROSS, 1.35 * down + 0.6),
        layout="constrained",
        squeeze=False,
    )
    figure.suptitle(
        "left: log10 of ||dL/dh_t|| / ||dL/dh_T|| over t, at initialisation      "
        "right: validation loss over steps, dashed: a guess",
        fontsize=9,
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for i, specimen in enumerate(specimens):
        row, column = divmod(i, ACROSS)
        left, right = grid[row, 2 * column], grid[row, 2 * column + 1]
        _draw_flow(left, specimen)
        _draw_losses(right, specimen, baseline)
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return [file, _numbers(specimens, file.with_suffix(".csv"))]


def _draw_flow(axes: Axes, specimen: Specimen) -> None:
    axes.set_axis_on()
    axes.set_title(literal(specimen.name), fontsize=8, loc="left", pad=2)
    axes.axhline(0, color="0.7", linewidth=0.6)
    axes.plot(range(1, len(specimen.flow_T) + 1), specimen.flow_T, color=COLOURS[1], linewidth=1.2)
    axes.set_ylim(LOWEST, 4)
    axes.tick_params(labelsize=5, length=2, pad=1)


def _draw_losses(axes: Axes, specimen: Specimen, baseline: float) -> None:
    axes.set_axis_on()
    axes.set_yscale("log")
    axes.axhline(baseline, color="0.5", linewidth=0.8, linestyle="--")
    shown = drawable(specimen.losses)
    if shown:
        steps, values = zip(*shown, strict=True)
        axes.plot(steps, values, color=COLOURS[0], linewidth=1.2)
    axes.set_ylim(baseline / 1000, 2 * baseline)
    axes.tick_params(labelsize=5, length=2, pad=1, which="both")


def _decades(norms: Sequence[float]) -> tuple[float, ...]:
    reached = max((t for t, norm in enumerate(norms, 1) if norm != 0), default=0)
    if not reached or not math.isfinite(last := norms[reached - 1]):
        return ()
    return tuple(max(LOWEST, math.log10(n / last)) if n > 0 else LOWEST for n in norms[:reached])


def _numbers(specimens: Sequence[Specimen], file: Path) -> Path:
    rows = [
        (s.name, kind, x, value)
        for s in specimens
        for kind, series in (("flow", enumerate(s.flow_T, 1)), ("loss", s.losses))
        for x, value in series
    ]
    return write_csv(file, ("cell", "what", "t_or_step", "value"), rows)
