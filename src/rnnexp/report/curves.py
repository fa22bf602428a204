"""Loss and gradient norms over training, drawn from the runs' journals."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from rnnexp.report.seeds import alike, told_apart_by
from rnnexp.report.series import (
    Point,
    Series,
    drawable,
    marker_of,
    maxima_at_ends,
    width_for,
    window_maxima,
)
from rnnexp.report.table import differing, headings
from rnnexp.tracking import FREE, load_run, selection_loss_of
from rnnexp.tracking.outcome import Outcome

# Okabe & Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LOOKS = tuple((colour, style) for style, colour in product(("-", "--", ":", "-."), COLOURS))
FEW = 8
"""As many names as leave room for the curves beside them; more stand below."""
WINDOWS = 150
_ROW, _COLUMNS = 0.19, 3
"""Inches of a row of names below, and columns of them."""

Metrics = Mapping[str, Series]


def draw_curves(runs: Sequence[Outcome], file: Path) -> None:
    """Draw validation loss and raw gradient norm of several runs into one picture.

    Runs that differ in their seed alone share a colour: each is a faint line, their median a
    strong one, as far as more than half of them go. Where nothing but the seed differs, each run
    has a colour of its own.

    Args:
        runs: what is drawn; the legend names what tells them apart.
        file: where the PNG goes.
    """
    keys = told_apart_by(runs) or differing(run.config for run in runs)
    groups = _labelled(runs, keys)
    by = selection_loss_of(run.config for run in runs)
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 7), sharex=True, layout="constrained")
    for index, (label, members) in enumerate(groups):
        metrics = [load_run(Path(run.folder)).metrics for run in members]
        look = LOOKS[index % len(LOOKS)]
        for axes, curve in ((above, partial(_losses, by)), (below, _norms)):
            _lines(axes, metrics, curve, look, label)
    _label(above, f"validation loss{', free-running' if by.endswith(FREE) else ''}")
    _label(below, "raw gradient norm,\nlargest of each window")
    below.set_xlabel("optimizer step")
    tick_whole_numbers(below.xaxis)
    for axes in [axes for axes in (above, below) if axes.lines][:1]:
        _name(figure, axes, keys, len(groups))
    figure.savefig(file, dpi=130)
    plt.close(figure)


def tick_whole_numbers(axis: Axis) -> None:
    """Tick an axis of steps at whole numbers only, however few they are."""
    steps = [1, 2, 2.5, 5, 10]  # as matplotlib's own
    axis.set_major_locator(MaxNLocator("auto", steps=steps, integer=True, min_n_ticks=1))


def tick_plain_numbers(axis: Axis) -> None:
    """Tick a log axis that spans less than a power of ten by plain numbers, without powers."""
    low, high = sorted(axis.get_view_interval())
    if low > 0 and high < 10 * low:
        axis.set_major_formatter(FormatStrFormatter("%.4g"))
        axis.set_minor_formatter(FormatStrFormatter("%.4g"))


def _labelled(runs: Sequence[Outcome], keys: Sequence[str]) -> list[tuple[str, list[Outcome]]]:
    groups: list[tuple[str, list[Outcome]]] = []
    for members in alike(runs, keys):
        first = members[0]
        label = ", ".join(first.config.get(key, "") for key in keys) or first.name
        groups.append((label if len(members) == 1 else f"{label} ({len(members)} runs)", members))
    return groups


def _lines(
    axes: Axes,
    metrics: Sequence[Metrics],
    curves: Callable[[Sequence[Metrics]], list[Series]],
    look: tuple[str, str],
    label: str,
) -> None:
    found = [series for series in curves(metrics) if series]
    if not found:
        return
    colour, style = look
    for series in [] if len(metrics) == 1 else found:
        axes.plot(
            *zip(*series, strict=True), "-", marker=marker_of(series), color=colour, alpha=0.25,
            linewidth=0.7,
        )  # fmt: skip
    strong = _median(found)
    steps, values = zip(*strong, strict=True) if strong else ((), ())  # the legend names it anyway
    axes.plot(
        steps, values, style, marker=marker_of(strong), color=colour, label=label, linewidth=1.4
    )


def _losses(by: str, metrics: Sequence[Metrics]) -> list[Series]:
    return [drawable(one.get(f"val/{by}", ())) for one in metrics]


def _norms(metrics: Sequence[Metrics]) -> list[Series]:
    norms = [drawable(one.get("grad/raw_norm", ())) for one in metrics]
    if len(norms) == 1:
        return [window_maxima(norms[0], WINDOWS)]
    width = width_for(norms, WINDOWS)
    return [maxima_at_ends(series, width) for series in norms]


def _median(many: Sequence[Series]) -> list[Point]:
    """Take the median at each step that more than half of the runs have.

    Of half of them it would be that of those that are left, and jump to them where others end.
    """
    values: dict[int, list[float]] = {}
    for step, value in (point for series in many for point in series):
        values.setdefault(step, []).append(value)
    return [(step, median(of)) for step, of in sorted(values.items()) if 2 * len(of) > len(many)]


def _name(figure: Figure, axes: Axes, keys: Sequence[str], count: int) -> None:
    title = ", ".join(headings(keys))
    if count <= FEW:
        axes.legend(fontsize="small", ncols=2, title=title, title_fontsize="small")
        return
    handles, labels = axes.get_legend_handles_labels()
    rows = -(-min(count, len(LOOKS)) // _COLUMNS)
    figure.set_figheight(figure.get_figheight() + _ROW * (rows + 2))
    figure.legend(
        handles[: len(LOOKS)],
        labels[: len(LOOKS)],
        loc="outside lower center",
        ncols=_COLUMNS,
        fontsize="small",
        title=title if count <= len(LOOKS) else f"{title}: {len(LOOKS)} of {count}",
    )


def _label(axes: Axes, text: str) -> None:
    axes.set_yscale("log")
    axes.set_ylabel(text)
    axes.grid(alpha=0.3)
    tick_plain_numbers(axes.yaxis)
