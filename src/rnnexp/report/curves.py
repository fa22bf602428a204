"""Loss and gradient norms over training, drawn from the runs' journals."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from textwrap import wrap

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from rnnexp.report.legend import legend_of
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
from rnnexp.report.table import differing
from rnnexp.report.words import LABEL, SHORT, TITLE, cut, literal
from rnnexp.tracking import FREE, load_run, selection_loss_of
from rnnexp.tracking.outcome import Outcome

# Okabe & Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
"""Of a line, and of its marker where it has but one point."""
LOOKS = tuple((colour, *style) for style, colour in product(_STYLES, COLOURS))
FEW = 8
"""As many names as may find room beside the curves; more stand below."""
WINDOWS = 150
_ROW = 0.19
"""Inches of a row of names below."""
_INSIDE, _HALF = 40, 50
"""Characters of a name of which two stand side by side, within the axes and below."""

Metrics = Mapping[str, Series]
Look = tuple[str, str, str]


def draw_curves(runs: Sequence[Outcome], file: Path) -> None:
    """Draw validation loss and raw gradient norm of several runs into one picture.

    Runs that differ in their seed alone share a colour: each is a faint line. A strong one is the
    median of their losses, as far as more than half of them go, and the largest of their norms: a
    cliff, which is marked, is that of one of them. Where nothing but the seed differs, each run has
    a colour of its own.

    Args:
        runs: what is drawn; the legend names what tells them apart.
        file: where the PNG goes.
    """
    keys = told_apart_by(runs) or differing(run.config for run in runs)
    groups = alike(runs, keys)
    by = selection_loss_of(run.config for run in runs)
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 7), sharex=True, layout="constrained")
    names: list[Line2D] = []
    title, labels = legend_of(keys, [[one[0].config.get(k, "") for k in keys] for one in groups])
    for index, (named, members) in enumerate(zip(labels, groups, strict=True)):
        label = literal(cut(named or members[0].name, LABEL))
        metrics = [load_run(Path(run.folder)).metrics for run in members]
        losses, (norms, largest) = _losses(by, metrics), _norms(metrics)
        look = LOOKS[index % len(LOOKS)]
        name = label + _remark([not any(pair) for pair in zip(losses, norms, strict=True)])
        lines = _lines(above, losses, _median(losses), look, name)
        lines += _lines(below, norms, largest, look, name)
        _mark_cliffs(below, metrics, look[0])
        names += lines[:1] or [Line2D([], [], linestyle="none", label=name)]
    _label(above, f"validation loss{', free-running' if by.endswith(FREE) else ''}")
    seeds = "\nand of all seeds" if len(groups) < len(runs) else ""
    cliffs = " (▼ cliff)" if below.collections else ""
    _label(below, f"raw gradient norm{cliffs},\nlargest of each stretch of steps{seeds}")
    below.set_xlabel("optimizer step")
    tick_whole_numbers(below.xaxis)
    _name(figure, above if above.lines or not below.lines else below, title, names)
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


def _remark(empty: Sequence[bool]) -> str:
    """Say of how many runs a curve is, and of how many of them there is no point on a log scale."""
    said = [f"{len(empty)} runs"] if len(empty) > 1 else []
    if any(empty):
        said.append(f"{sum(empty)} with nothing to draw" if said else "nothing to draw")
    return f" ({', '.join(said)})" if said else ""


def _lines(
    axes: Axes, curves: Sequence[Series], strong: Series, look: Look, label: str
) -> list[Line2D]:
    found = [series for series in curves if series]
    if not found:
        return []
    colour, style, mark = look
    for series in [] if len(curves) == 1 else found:
        axes.plot(
            *zip(*series, strict=True), "-", marker=marker_of(series, mark), color=colour,
            alpha=0.25, linewidth=0.7,
        )  # fmt: skip
    steps, values = zip(*strong, strict=True) if strong else ((), ())  # the legend names it anyway
    return axes.plot(
        steps, values, style, marker=marker_of(strong, mark), color=colour, label=label,
        linewidth=1.4,
    )  # fmt: skip


def _losses(by: str, metrics: Sequence[Metrics]) -> list[Series]:
    return [drawable(one.get(f"val/{by}", ())) for one in metrics]


def _norms(metrics: Sequence[Metrics]) -> tuple[list[Series], Series]:
    """Thin out the norms of each run, and give the largest of all: a median would hide a cliff."""
    norms = [drawable(one.get("grad/raw_norm", ())) for one in metrics]
    if len(norms) == 1:
        shown = window_maxima(norms[0], WINDOWS)
        return [shown], shown
    width = width_for(norms, WINDOWS)
    whole = [point for series in norms for point in series]
    return [maxima_at_ends(series, width) for series in norms], maxima_at_ends(whole, width)


def _mark_cliffs(axes: Axes, metrics: Sequence[Metrics], colour: str) -> None:
    cliffs = [point for one in metrics for point in drawable(one.get("grad/cliff", ()))]
    if cliffs:
        steps, norms = zip(*cliffs, strict=True)
        axes.scatter(
            steps, norms, 22, marker="v", color=colour, edgecolor="black", linewidth=0.5, zorder=3
        )


def _median(curves: Sequence[Series]) -> list[Point]:
    """Take the median at each step that more than half of the runs have.

    Of half of them it would be that of those that are left, and jump to them where others end.
    """
    many = [series for series in curves if series]
    values: dict[int, list[float]] = {}
    for step, value in (point for series in many for point in series):
        values.setdefault(step, []).append(value)
    return [(step, median(of)) for step, of in sorted(values.items()) if 2 * len(of) > len(many)]


def _name(figure: Figure, axes: Axes, title: str, names: Sequence[Line2D]) -> None:
    lines = [literal(cut(line)) for line in wrap(title, TITLE, max_lines=4, placeholder=" …")]
    title, count = "\n".join(lines), len(names)
    longest = max(len(str(name.get_label())) for name in names)
    if count <= FEW and longest <= _INSIDE:
        legend = axes.legend(
            handles=names, fontsize="small", ncols=2, title=title, title_fontsize="small"
        )
        figure.draw_without_rendering()  # only then has the legend found its place
        if not _covered(axes, legend.get_window_extent()):
            return
        legend.remove()
    shown, columns = names[: len(LOOKS)], 3 if longest <= SHORT else 2 if longest <= _HALF else 1
    figure.set_figheight(
        figure.get_figheight() + _ROW * (-(-len(shown) // columns) + len(lines) + 1)
    )
    figure.legend(
        handles=shown,
        loc="outside lower center",
        ncols=columns,
        fontsize="small",
        title=title if count <= len(LOOKS) else f"{title}: {len(LOOKS)} of {count}",
    )


def _covered(axes: Axes, box: Bbox) -> bool:
    curves = [line.get_path().transformed(line.get_transform()) for line in axes.lines]
    return any(
        box.count_contains(curve.vertices) or curve.intersects_bbox(box, filled=False)
        for curve in curves
    )


def _label(axes: Axes, text: str) -> None:
    axes.set_yscale("log")
    axes.set_ylabel(text)
    axes.grid(alpha=0.3)
    tick_plain_numbers(axes.yaxis)
