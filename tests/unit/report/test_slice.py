"""The loss along the gradient of a step that clipping has made much shorter, or not."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from rnnexp.report.slice import Slice, distances_around, draw_slice, steps_of


def drawn(folder: Path, loss: Callable[[float], float], threshold: float | None = None) -> Path:
    lengths = steps_of(0.1, 1e5, threshold)
    distances = sorted({at for length in lengths for at in distances_around(length)})
    along = Slice(7, distances, list(map(loss, distances)), 1e5, 0.1, threshold)
    return draw_slice(along, folder / "landscape.png")[1]


def wall(distance: float) -> float:
    """A cliff: 1e30 behind the step, all the way down within the clipped one, nothing far off."""
    if abs(distance) > 200:
        return math.nan
    return 1e30 if distance < 0 else 1e3 * math.exp(-100 * distance) + 0.1


def test_a_clipped_step_that_is_much_shorter_has_a_panel_of_its_own(
    tmp_path: Path, kept: list[Figure]
) -> None:
    numbers = drawn(tmp_path, wall, threshold=1.0)
    near, whole = kept[0].axes
    assert near.get_xlim() == pytest.approx((-0.12, 0.12))
    assert whole.get_xlim() == pytest.approx((-12000, 12000))
    low, high = near.get_ylim()
    assert near.get_yscale() == "log"
    assert 0.05 < low < 0.2, "of the losses between the marks"
    assert 1e3 < high < 3e3, "not of those behind the step"
    assert whole.get_title(loc="right") == "no finite loss at 198 of 201 points"
    assert near.get_title(loc="right") == ""
    assert len(numbers.read_text().splitlines()) == 1 + 201 + 200, "the weights are in both"


@pytest.mark.parametrize("threshold", [None, 1e6, 5e4])
@pytest.mark.parametrize(
    ("loss", "limits"),
    [
        (lambda d: 2 + d / 1e4, (1.93, 3.07)),
        (lambda d: d / 1e4 - 0.5, (-0.57, 0.57)),  # a loss may be negative
        (lambda d: math.nan if d else 3.0, None),
        (lambda d: math.nan, None),
    ],
)
def test_any_loss_can_be_drawn_along_a_step_that_is_hardly_clipped(
    tmp_path: Path, kept: list[Figure], threshold: float | None, loss, limits
) -> None:
    drawn(tmp_path, loss, threshold)
    (axes,) = kept[0].axes
    assert axes.get_yscale() == "linear"
    assert limits is None or axes.get_ylim() == pytest.approx(limits, abs=0.01)
