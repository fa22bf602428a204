"""A measured series, and how a network goes on with it: one step ahead, and by itself."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rnnexp.report.curves import COLOURS, tick_whole_numbers
from rnnexp.report.words import TITLE, cut, literal

PANELS = 8
"""Series of a table that are drawn: its first."""
AHEAD, FREE = " (one step ahead)", " (forecast)"
_BEYOND = 0.5
"""How far a panel reaches beyond what was measured, in ranges of it: a forecast may diverge."""
_LOOKS = {  # the first is wide, so that it shows under what was measured
    AHEAD: ("one step ahead, teacher-forced", COLOURS[5], 3.0),
    "": ("measured", COLOURS[6], 1.0),
    FREE: ("forecast, free-running", COLOURS[1], 1.4),
}

Values = NDArray[np.float64]
Table = dict[str, Values]


def draw_forecast(numbers: Path, file: Path, *, title: str = "") -> list[Path]:
    """Draw what was measured and what was forecast, a panel for each series of a table.

    Args:
        numbers: a CSV file with a column ``step``, and of each series ``NAME (forecast)`` or
            ``NAME (one step ahead)``, or both, beside which may stand ``NAME``, what was measured.
            An empty place is a gap; the network runs free from the first value of the forecast on.
        file: where the PNG goes.
        title: stands above the picture.

    Returns:
        The PNG.

    Raises:
        ValueError: such a column is missing, or an entry is no number.
    """
    table = _read(numbers)
    kind = next((end for end in (FREE, AHEAD) if any(name.endswith(end) for name in table)), FREE)
    names = [name.removesuffix(kind) for name in table if name.endswith(kind)]
    if not names or "step" not in table:
        raise ValueError(f"{numbers.name} needs the columns 'step' and 'NAME{FREE}'")
    drawn = names[:PANELS]
    figure, grid = plt.subplots(
        len(drawn), 1, figsize=(8, 1.6 * len(drawn) + 1.6), sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, name in zip(grid[:, 0], drawn, strict=True):
        _draw_panel(axes, name, table)
    _dress(figure, grid[-1, 0], title, len(names))
    figure.savefig(file, dpi=130)
    plt.close(figure)
    return [file]


def _read(numbers: Path) -> Table:
    with numbers.open(newline="", encoding="utf-8") as lines:
        names, *rows = csv.reader(lines)
    columns = np.array([[float(entry or "nan") for entry in row] for row in rows]).T
    return dict(zip(names, columns, strict=True))


def _draw_panel(axes: Axes, name: str, table: Table) -> None:
    step_N, series = table["step"], {end: table.get(name + end) for end in _LOOKS}
    for end, (label, colour, width) in _LOOKS.items():
        values_N = series[end]
        if values_N is not None:
            mark = "." if _stands_alone(values_N) else ""
            axes.plot(
                step_N, values_N, marker=mark, markersize=4, color=colour, linewidth=width,
                label=label,
            )  # fmt: skip
    known = [values_N for values_N in series.values() if values_N is not None]
    axes.set_ylim(_limits(known, table.get(name)))
    if name + FREE in table:
        begin = step_N[np.isfinite(table[name + FREE])][:1]
        axes.vlines(begin - 0.5, 0, 1, "0.5", linewidth=0.8, transform=axes.get_xaxis_transform())
    axes.set_title(literal(cut(name)), loc="left", fontsize="medium")
    axes.margins(x=0.01)
    axes.grid(alpha=0.3)


def _stands_alone(values_N: Values) -> bool:
    # A line between two points cannot show one that has gaps on both sides.
    known_N = np.pad(np.isfinite(values_N), 1)
    return bool((known_N[1:-1] & ~known_N[:-2] & ~known_N[2:]).any())


def _limits(known: Sequence[Values], measured_N: Values | None) -> tuple[float, float]:
    values_N = np.concatenate(known)
    values_N = values_N[np.isfinite(values_N)]
    usual_N = values_N if measured_N is None else measured_N[np.isfinite(measured_N)]
    if not len(usual_N):
        return 0.0, 1.0
    beyond = _BEYOND * float(np.ptp(usual_N)) or math.inf
    values_N = values_N.clip(usual_N.min() - beyond, usual_N.max() + beyond)
    room = 0.05 * float(np.ptp(values_N)) or 0.5
    return float(values_N.min()) - room, float(values_N.max()) + room


def _dress(figure: Figure, lowest: Axes, title: str, count: int) -> None:
    handles, labels = lowest.get_legend_handles_labels()
    first = ", the first of the forecast is 1" if _LOOKS[FREE][0] in labels else ""
    lowest.set_xlabel(f"time step{first}", fontsize="large")
    tick_whole_numbers(lowest.xaxis)
    rest = f"  {PANELS} of {count} series" if count > PANELS else ""
    heading = literal(cut(title, TITLE - len(rest))) + rest
    figure.suptitle(heading, x=0.01, horizontalalignment="left", fontsize="medium")
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
