import csv
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from rnnexp.errors import ConfigError
from rnnexp.report.flow_map import COLUMNS, ROWS, draw_flow_map

N, T = 50, 30


def vanishing(recordings: int = N) -> np.ndarray:
    return np.tile(0.5 ** np.arange(T)[::-1], (recordings, 1))


def rows_of(file: Path) -> list[list[float]]:
    with file.open(newline="") as lines:
        return [[float(cell) for cell in row] for row in list(csv.reader(lines))[1:]]


def column_of_colours(file: Path) -> np.ndarray:
    """The colours from late t (above) to early t (below), in the middle of the map."""
    pixels = matplotlib.image.imread(file)[..., :3]
    column = pixels[: int(0.87 * len(pixels)), 450]  # without tick and axis labels
    drawn = np.flatnonzero(column.min(-1) < 0.95)  # what is not paper
    return column[drawn[0] + 4 : drawn[-1] - 4]  # without the frame


def test_colours_fall_from_late_to_early_steps(tmp_path: Path) -> None:
    draw_flow_map(range(N), vanishing(), tmp_path / "f.png")
    colours = column_of_colours(tmp_path / "f.png")
    map_ = mpl.colormaps["viridis"]
    assert np.abs(colours[0] - map_(1.0)[:3]).max() < 0.05
    assert np.abs(colours[-1] - map_(0.0)[:3]).max() < 0.05
    brightness = colours @ (0.3, 0.6, 0.1)
    assert (np.diff(brightness) <= 0.01).all()


def test_what_vanished_is_black_and_the_scale_stays(tmp_path: Path) -> None:
    norms_NT = vanishing()
    norms_NT[:, :15] = 0.0
    norms_NT[3, 2] = 1e-300  # a denormal is no reason for 300 decades
    draw_flow_map(range(N), norms_NT, tmp_path / "f.png")
    colours = column_of_colours(tmp_path / "f.png")
    assert colours[-1].max() < 0.01
    assert colours[0].max() > 0.8


@pytest.mark.parametrize("exploded", [[0], range(30, N), [*range(1, 18), *range(32, N)]])
def test_columns_that_explode_leave_the_others_their_colours(
    tmp_path: Path, exploded: Sequence[int]
) -> None:
    norms_NT = vanishing()
    norms_NT[exploded] *= 1e20
    draw_flow_map(range(N), norms_NT, tmp_path / "f.png")
    colours = column_of_colours(tmp_path / "f.png")
    assert (np.diff(colours @ (0.3, 0.6, 0.1)) <= 0.01).all()
    assert colours[0].max() > colours[-1].max() + 0.1, "the flow over t is seen still"
    assert np.abs(colours[-1] - mpl.colormaps["viridis"](0.0)[:3]).max() < 0.05


def test_what_arrives_within_its_own_column_is_never_black(tmp_path: Path) -> None:
    norms_NT = vanishing()
    norms_NT[:40] *= 1e-30  # of a loss that is next to nothing
    norms_NT[40:] *= 1e30
    draw_flow_map(range(N), norms_NT, tmp_path / "f.png")
    assert column_of_colours(tmp_path / "f.png").max(-1).min() > 0.3
    norms_NT = np.roll(norms_NT, N // 2, 0)  # now one of the few is in the middle
    draw_flow_map(range(N), norms_NT, tmp_path / "f.png")
    assert column_of_colours(tmp_path / "f.png").max(-1).min() > 0.3


def test_a_spike_survives_thinning(tmp_path: Path) -> None:
    norms_NT = vanishing(10 * COLUMNS + 7)
    norms_NT[1234, 0] = 1e6
    _, numbers = draw_flow_map(range(len(norms_NT)), norms_NT, tmp_path / "f.png")
    rows = rows_of(numbers)
    assert len(rows) <= COLUMNS
    assert max(row[1] for row in rows) == 1e6
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_a_spike_survives_among_many_time_steps(tmp_path: Path) -> None:
    norms_NT = np.full((3, 10 * ROWS + 7), 0.5)
    norms_NT[1, 1234] = 1e6
    norms_NT[2] = math.nan
    _, numbers = draw_flow_map([1, 2, 3], norms_NT, tmp_path / "f.png")
    header, *_ = numbers.read_text().splitlines()
    names = header.split(",")
    assert len(names) <= ROWS + 1
    assert (names[1], names[2], names[-1]) == ("t1-11", "t12-22", "t10000-10007")
    first, second, third = rows_of(numbers)
    assert first[1:] == [0.5] * (len(names) - 1)
    assert second[names.index("t1233-1243")] == max(second) == 1e6
    assert np.isnan(third[1:]).all()


def test_numbers_are_those_given(tmp_path: Path) -> None:
    norms_NT = np.array([[1e-3, 2.0], [math.nan, 3.0]])
    cliffs = [(13, [1e4, 5.0]), (20, norms_NT[1])]
    _, numbers = draw_flow_map([10, 20], norms_NT, tmp_path / "f.png", cliffs=cliffs)
    (first, cliff, second) = rows_of(numbers)
    assert first == [10, 1e-3, 2.0]
    assert cliff == [13, 1e4, 5.0], "at its own step, not at that of the record before"
    assert math.isnan(second[1])
    assert second[2] == 3.0


@pytest.mark.parametrize("steps", [12, 3000])
def test_below_the_mark_of_a_cliff_are_its_own_norms(
    tmp_path: Path, kept: list[Figure], steps: int
) -> None:
    at, cliff_T = steps // 2 + 1, np.full(T, 1e3)
    recorded = range(1, steps, 10)
    draw_flow_map(recorded, vanishing(len(recorded)), tmp_path / "f", cliffs=[(at, cliff_T)])
    axes = kept[0].axes[0]
    records, cliff = axes.collections
    (mark,) = axes.lines
    edges = cliff.get_coordinates()[0, :, 0]
    assert edges.mean() == mark.get_xdata()[0] == at
    assert (cliff.get_array() == 1e3).all()
    assert cliff.norm.vmin == records.norm.vmin
    assert np.ptp(edges) >= max(1.0, steps / 130), "wide enough to be seen"


@pytest.mark.parametrize("norms", [np.full((1, 1), 2.0), np.full((3, 4), 0.1)])
def test_equal_norms_can_be_drawn(tmp_path: Path, norms: np.ndarray) -> None:
    files = draw_flow_map(range(len(norms)), norms, tmp_path / "f.png")
    assert files[0].stat().st_size > 10_000


def test_where_no_gradient_flows_all_is_black(tmp_path: Path) -> None:
    _, numbers = draw_flow_map([1, 2], [[0.0] * 3, [0.0] * 3], tmp_path / "f.png")
    assert column_of_colours(tmp_path / "f.png").max() < 0.01
    assert rows_of(numbers) == [[1, 0, 0, 0], [2, 0, 0, 0]]


@pytest.mark.parametrize("norms", [np.full((2, 3), math.nan), np.ones(2)])
def test_refuses_what_cannot_be_drawn(tmp_path: Path, norms: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="grad_norm_NT"):
        draw_flow_map([1, 2], norms, tmp_path / "f.png")


def test_refuses_steps_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected \(3, T\), got \(2, 3\)"):
        draw_flow_map([1, 2, 3], np.ones((2, 3)), tmp_path / "f.png")
