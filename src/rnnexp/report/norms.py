"""Raw and clipped gradient norm over training, with the threshold and every cliff."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rnnexp.report.curves import COLOURS, tick_plain_numbers, tick_whole_numbers
from rnnexp.report.series import (
    Series,
    drawable,
    marker_of,
    window_maxima,
    window_minima,
    window_width,
    write_csv,
)
from rnnexp.report.words import cut, literal

POINTS = 500
"""Windows over the width of the picture: each about two pixels wide."""
_RAW, _CLIPPED, _CLIFF = COLOURS[5], COLOURS[0], COLOURS[1]


def draw_norms(
    raw: Series,
    clipped: Series,
    file: Path,
    *,
    threshold: float | None = None,
    cliffs: Series = (),
    title: str = "",
) -> list[Path]:
    """Draw the gradient norms of a run on a log scale; a spike of one step stays in sight.

    Args:
        raw: step and norm before clipping.
        clipped: step and norm after clipping; equal to ``raw`` where nothing is clipped.
        file: where the PNG goes; its numbers stand beside it as CSV.
        threshold: the clipping threshold of the global norm.
        cliffs: step and raw norm of each cliff; what is not finite, here or in ``raw``, is marked
            at the top.
        title: stands above the picture.

    Returns:
        The PNG and the CSV.
    """
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    was_clipped = _differ(raw, clipped)
    _band(axes, drawable(raw), _RAW, "raw" if was_clipped else "raw (nothing was clipped)")
    if was_clipped:
        _band(axes, drawable(clipped), _CLIPPED, "clipped")
    if (width := window_width(drawable(raw), POINTS)) > 1:
        axes.fill([], [], "0.5", alpha=0.35, linewidth=0, label=f"range of {width} steps")
    if threshold is not None:
        _mark_threshold(axes, threshold)
    _mark_cliffs(axes, cliffs)
    _mark_nonfinite(axes, [*raw, *cliffs])
    axes.update_datalim([(step, 1.0) for step, _ in raw], updatey=False)  # those not drawn, too
    _dress(axes, title)
    figure.savefig(file, dpi=130)
    plt.close(figure)
    header = ("step", "raw_norm", "clipped_norm", "cliff")
    return [file, write_csv(file.with_suffix(".csv"), header, _rows(raw, clipped, cliffs))]


def _differ(raw: Series, clipped: Series) -> bool:
    after = dict(clipped)  # a gradient that is not finite is skipped, not clipped
    return any(math.isfinite(norm) and after.get(step, norm) != norm for step, norm in raw)


def _band(axes: Axes, series: Series, colour: str, label: str) -> None:
    if not series:
        return
    steps, high = zip(*window_maxima(series, POINTS), strict=True)
    low = [value for _, value in window_minima(series, POINTS)]
    axes.fill_between(steps, low, high, color=colour, alpha=0.35, linewidth=0)
    axes.plot(steps, high, color=colour, linewidth=1.2, marker=marker_of(steps), label=label)


def _mark_threshold(axes: Axes, threshold: float) -> None:
    axes.axhline(threshold, color="black", linestyle=(0, (6, 6)), linewidth=0.8)
    axes.annotate(
        f"threshold\n{threshold:g}",
        (1, threshold),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        verticalalignment="center",
    )


def _mark_cliffs(axes: Axes, cliffs: Series) -> None:
    if spikes := drawable(cliffs):
        axes.plot(
            *zip(*spikes, strict=True), "v", color=_CLIFF, markersize=6, markeredgecolor="black",
            markeredgewidth=0.5, label=f"cliff ({len(spikes)})",
        )  # fmt: skip


def _mark_nonfinite(axes: Axes, norms: Series) -> None:
    if broken := sorted({step for step, norm in norms if not math.isfinite(norm)}):
        axes.plot(
            broken, [1.0] * len(broken), "X", color=_CLIFF, markersize=8, markeredgecolor="none",
            label=f"not finite ({len(broken)})", transform=axes.get_xaxis_transform(),
            clip_on=False,
        )  # fmt: skip


def _dress(axes: Axes, title: str) -> None:
    axes.set_yscale("log")
    axes.margins(x=0.01, y=0.12)
    axes.set_xlabel("optimizer step", fontsize="large")
    tick_whole_numbers(axes.xaxis)
    axes.set_ylabel("global gradient norm\n(loss per unit of weight)", fontsize="large")
    axes.grid(alpha=0.3)
    tick_plain_numbers(axes.yaxis)
    axes.set_title(literal(cut(title)), loc="left", fontsize="medium", pad=24)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles, labels, ncols=5, fontsize="medium", frameon=False, loc="lower left",
        bbox_to_anchor=(-0.01, 1), borderaxespad=0.2, columnspacing=1.2,
        handlelength=1.5,
    )  # fmt: skip


def _rows(raw: Series, clipped: Series, cliffs: Series) -> Iterator[tuple[Any, ...]]:
    after, at = dict(clipped), {step for step, _ in cliffs}
    for step, norm in raw:
        yield step, norm, after.get(step, ""), int(step in at)
