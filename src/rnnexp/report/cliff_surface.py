"""The error surface of one recurrent unit over its two weights, fine enough to show its cliff.

    h_0 = sigmoid(x0),  h_t = sigmoid(w h_{t-1} + b),  E = (h_T - target)^2

A regular grid steps over the wall, which is narrower than 1e-4: between two neighbours of unlike
error the grid is refined until it is resolved. Source: Pascanu et al. 2013, figure 6.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
JUMP = 0.004
"""Neighbours whose errors differ by more are looked between."""
FINEST = 1e-9
"""Distance in b at which refinement ends."""
STEEP = 5.0
"""Rows that are nowhere as steep as this have no wall."""


@dataclass(frozen=True)
class Unit:
    """The unit and what is asked of it.

    Args:
        steps: time steps T.
        x0: state before the first step; h_0 is its sigmoid.
        target: what h_T should be.
    """

    steps: int = 50
    x0: float = 0.5
    target: float = 0.7


@dataclass(frozen=True)
class Samples:
    """Points of the surface, ordered by row and by b: a grid, and what was found between.

    Args:
        row: which w of the grid, shape (P,).
        w: recurrent weight.
        b: bias.
        error: E.
        slope: norm of dE/d(w, b), as the training measures it.
    """

    row: NDArray[np.int64]
    w: Values
    b: Values
    error: Values
    slope: Values


def error_and_slope(w: ArrayLike, b: ArrayLike, unit: Unit) -> tuple[Values, Values]:
    """Compute E and the norm of its gradient, for any shape of w and b.

    dh_t/dw = s_t (h_{t-1} + w dh_{t-1}/dw)
    dh_t/db = s_t (1       + w dh_{t-1}/db),    s_t = h_t (1 - h_t)
    """
    w, b = np.broadcast_arrays(np.asarray(w, np.float64), np.asarray(b, np.float64))
    h = np.full(w.shape, 1 / (1 + np.exp(-unit.x0)))
    by_w, by_b = np.zeros(w.shape), np.zeros(w.shape)
    for _ in range(unit.steps):
        new = _sigmoid(w * h + b)
        slope = new * (1 - new)
        by_w, by_b, h = slope * (h + w * by_w), slope * (1 + w * by_b), new
    off = h - unit.target
    return off**2, 2 * np.abs(off) * np.hypot(by_w, by_b)


def refine(w_R: Values, b_C: Values, unit: Unit) -> Samples:
    """Sample the surface on a grid, and more finely along b wherever the error jumps.

    Args:
        w_R: the rows of the grid.
        b_C: its columns, ascending.
        unit: whose surface it is.
    """
    rows = np.repeat(np.arange(len(w_R)), len(b_C))
    samples = _sampled(rows, np.tile(b_C, len(w_R)), w_R, unit)
    while True:
        between = np.diff(samples.b) > FINEST
        between &= np.diff(samples.row) == 0
        between &= np.abs(np.diff(samples.error)) > JUMP
        left = np.flatnonzero(between)
        if not len(left):
            return samples
        middle = (samples.b[left] + samples.b[left + 1]) / 2
        samples = _merged(samples, _sampled(samples.row[left], middle, w_R, unit))


def wall(samples: Samples) -> tuple[Values, Values, Values]:
    """Find the steepest place of each row.

    Args:
        samples: of `refine`.

    Returns:
        w, b and slope there, ascending in w.
    """
    order = np.lexsort((samples.slope, samples.row))
    last = order[np.append(np.diff(samples.row[order]) > 0, True)]
    steep = last[samples.slope[last] >= STEEP]
    return samples.w[steep], samples.b[steep], samples.slope[steep]


def pool(samples: Samples, rows: int, b_edges: Values) -> Values:
    """Take the largest slope of each cell of a picture, so that no cliff falls between two.

    Returns:
        Shape (rows, len(b_edges) - 1).
    """
    cells = np.zeros((rows, len(b_edges) - 1))
    column = np.clip(np.searchsorted(b_edges, samples.b, "right") - 1, 0, cells.shape[1] - 1)
    np.maximum.at(cells, (samples.row, column), samples.slope)
    return cells


def _sampled(row: NDArray[np.int64], b: Values, w_R: Values, unit: Unit) -> Samples:
    w = w_R[row]
    return Samples(row, w, b, *error_and_slope(w, b, unit))


def _merged(one: Samples, other: Samples) -> Samples:
    names = ("row", "w", "b", "error", "slope")
    joined = [np.concatenate([getattr(one, n), getattr(other, n)]) for n in names]
    order = np.lexsort((joined[2], joined[0]))
    return Samples(*(values[order] for values in joined))


def _sigmoid(x: Values) -> Values:
    return 1 / (1 + np.exp(-x))
