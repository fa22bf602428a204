"""A metric over steps, thinned out for a picture without losing its spikes."""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Point = tuple[int, float]
Series = Sequence[Point]


def window_width(series: Series, points: int) -> int:
    """Tell how many steps a window of `windows` has."""
    return max(1, math.ceil(len(series) / points))


def windows(series: Series, points: int) -> Iterator[Series]:
    """Cut a series into windows of equal length, at most ``points`` of them."""
    width = window_width(series, points)
    for begin in range(0, len(series), width):
        yield series[begin : begin + width]


def window_maxima(series: Series, points: int = 150) -> list[Point]:
    """Keep the largest point of each window, at its own step.

    A cliff is one step wide: a sampled line would lose it, the largest of a window keeps it.
    """
    return [max(window, key=_value) for window in windows(series, points)]


def window_minima(series: Series, points: int) -> list[Point]:
    """Keep the smallest value of each window, at the step where `window_maxima` has its own."""
    pairs = ((max(w, key=_value), min(w, key=_value)) for w in windows(series, points))
    return [(high[0], low[1]) for high, low in pairs]


def width_for(many: Sequence[Series], points: int) -> int:
    """Tell how many steps a window of `maxima_at_ends` has.

    Args:
        many: series that are drawn over one another, of any lengths.
        points: windows that the longest is to have.
    """
    spans = (series[-1][0] - series[0][0] + 1 for series in many if series)
    return max(1, math.ceil(max(spans, default=0) / points))


def maxima_at_ends(series: Series, width: int) -> list[Point]:
    """Keep the largest value of every ``width`` steps, at the last of them that there is.

    The windows are those of all steps from 1 on: series of other lengths, and those that begin
    later, have their points where this one has its own, but for the last. Several series, one after
    the other, have the largest of them all.
    """
    largest: dict[int, float] = {}
    last = max((step for step, _ in series), default=0)
    for step, value in series:
        end = min(-(-step // width) * width, last)
        largest[end] = max(value, largest.get(end, value))
    return sorted(largest.items())


def drawable(series: Series) -> list[Point]:
    """Keep the points that a log scale can show: finite and above zero."""
    return [(step, value) for step, value in series if math.isfinite(value) and value > 0]


def marker_of(points: Sequence[object], mark: str = "o") -> str:
    """Choose the marker of a line: one where it has one point, and would not be seen."""
    return mark if len(points) == 1 else ""


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write the numbers behind a picture.

    Returns:
        The file.
    """
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(header)
        writer.writerows(rows)
    return file


def _value(point: Point) -> float:
    return point[1]
