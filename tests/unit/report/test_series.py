import csv
import math
from pathlib import Path

import pytest

from rnnexp.report.series import (
    drawable,
    maxima_at_ends,
    width_for,
    window_maxima,
    window_minima,
    windows,
    write_csv,
)


def test_cliff_of_one_step_is_kept() -> None:
    series = [(step, 1.0) for step in range(10_000)]
    series[7777] = (7777, 50.0)
    thinned = window_maxima(series)
    assert len(thinned) <= 200
    assert (7777, 50.0) in thinned


def test_cliff_beside_a_nan_is_kept() -> None:
    series = [(step, 1.0) for step in range(3000)]
    series[100:103] = [(100, math.nan), (101, 50.0), (102, math.inf)]
    assert (101, 50.0) in window_maxima(drawable(series))


def test_short_series_is_left_as_it_is() -> None:
    series = [(0, 3.0), (1, 2.0)]
    assert window_maxima(series) == series
    assert window_maxima([]) == []


@pytest.mark.parametrize("count", [1, 7, 150, 151, 299, 10_000])
def test_windows_cover_all_in_order(count: int) -> None:
    series = [(step, float(step)) for step in range(count)]
    cut = list(windows(series, 150))
    assert [point for window in cut for point in window] == series
    assert len(cut) <= 150


def test_minima_stand_where_the_maxima_do() -> None:
    series = [(0, 1.0), (1, 9.0), (2, 3.0), (3, 4.0)]
    assert window_maxima(series, 2) == [(1, 9.0), (3, 4.0)]
    assert window_minima(series, 2) == [(1, 1.0), (3, 3.0)]


def test_windows_of_series_that_begin_and_end_elsewhere_end_at_the_same_steps() -> None:
    whole = [(step, float(step % 7)) for step in range(1, 1001)]
    resumed, short = whole[333:], whole[:90]
    width = width_for([whole, resumed, short, []], 150)
    assert width == 7
    ends = dict(maxima_at_ends(whole, width))
    assert len(ends) <= 150
    assert set(ends.values()) == {6.0}
    assert max(ends) == 1000, "and not the end of a window that the run has not reached"
    for part, last in ((resumed, 1000), (short, 90)):
        at = list(dict(maxima_at_ends(part, width)))
        assert set(at[:-1]) < set(ends)
        assert at[-1] == last


def test_only_finite_norms_above_zero_can_be_drawn() -> None:
    series = [(0, 0.0), (1, -1.0), (2, math.nan), (3, math.inf), (4, 1e-300)]
    assert drawable(series) == [(4, 1e-300)]


def test_csv_holds_header_and_rows(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "n.csv", ("step", "norm"), [(1, 0.1), (2, math.inf)])
    with file.open(newline="") as lines:
        assert list(csv.reader(lines)) == [["step", "norm"], ["1", "0.1"], ["2", "inf"]]
