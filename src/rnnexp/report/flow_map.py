"""How the gradient flows back through time, over training: a heat map of ||dL/dh_t||."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from rnnexp.errors import ConfigError
from rnnexp.report.curves import COLOURS, tick_whole_numbers
from rnnexp.report.series import write_csv
from rnnexp.report.words import cut, literal

Matrix = NDArray[np.float64]
Indices = NDArray[np.int_]
Columns = tuple[Matrix, Matrix]
"""Steps, and the norms of each."""
COLUMNS, ROWS = 400, 1000
SIDE_BY_SIDE = 120
"""Columns of cliffs that have room beside one another: each is wide enough to be seen."""
DECADES = 16
"""More are not told apart by eye: what lies lower is drawn as the lowest.

A norm that lies lower than the largest of its own column has vanished.
"""


def draw_flow_map(
    steps: Sequence[int],
    grad_norm_NT: ArrayLike,
    file: Path,
    *,
    cliffs: Sequence[tuple[int, Sequence[float]]] = (),
    title: str = "",
) -> list[Path]:
    """Draw the norm of dL/dh_t over time steps and training, colours on a log scale.

    Where there are more recordings than columns, or more time steps than rows, each is the largest
    of its window. Black is what has vanished beside the largest of its own column, whatever the
    others hold. A cliff has a column of its own below its mark, in front of the records beside it.

    Args:
        steps: the N optimizer steps at which the norms were recorded, ascending.
        grad_norm_NT: the norms, shape (N, T), NaN where there is none.
        file: where the PNG goes; the numbers that it shows stand beside it as CSV.
        cliffs: step of each, marked at the upper edge, and its norms, shape (T,), NaN, and white,
            where none is known.
        title: stands above the picture.

    Returns:
        The PNG and the CSV.

    Raises:
        ConfigError: the shapes do not fit, or no norm is finite.
    """
    steps_N, norms_NT = _checked(steps, grad_norm_NT)
    columns, rows = _windows(len(steps_N), COLUMNS), _windows(norms_NT.shape[1], ROWS)
    shown_N, shown_NT = steps_N[columns[:-1]], _largest(norms_NT, columns, rows)
    cliff_C = np.array([step for step, _ in cliffs], dtype=np.float64)
    cliff_CT = np.array([norms_T for _, norms_T in cliffs]).reshape(len(cliffs), rows[-1])
    cliff_CT = np.fmax.reduceat(cliff_CT, rows[:-1], axis=1)
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    _draw_columns(figure, axes, rows, (shown_N, shown_NT), (cliff_C, cliff_CT))
    _mark_cliffs(axes, cliff_C)
    axes.set_xlabel("optimizer step", fontsize="large")
    axes.set_ylabel("time step t of the sequence", fontsize="large")
    for axis in (axes.xaxis, axes.yaxis):
        tick_whole_numbers(axis)
    above = 28 if len(cliffs) else None  # the legend of the cliffs
    axes.set_title(literal(cut(title)), loc="left", fontsize="medium", pad=above)
    figure.savefig(file, dpi=130)
    plt.close(figure)
    table = {**_by_step(cliff_C, cliff_CT), **_by_step(shown_N, shown_NT)}
    lines = ([step, *norms] for step, norms in sorted(table.items()))
    return [file, write_csv(file.with_suffix(".csv"), ("step", *_names(rows)), lines)]


def _checked(steps: Sequence[int], grad_norm_NT: ArrayLike) -> tuple[Matrix, Matrix]:
    norms_NT = np.asarray(grad_norm_NT, dtype=np.float64)
    if norms_NT.ndim != 2 or len(norms_NT) != len(steps) or norms_NT.shape[1] == 0:
        raise ConfigError(f"grad_norm_NT: expected ({len(steps)}, T), got {norms_NT.shape}.")
    if not np.isfinite(norms_NT).any():
        raise ConfigError("grad_norm_NT: holds no norm that is finite.")
    return np.asarray(steps, dtype=np.float64), norms_NT


def _windows(count: int, most: int) -> Indices:
    """Give where equal windows begin, the last of which may be shorter, and where that ends."""
    width = -(-count // most)
    return np.append(np.arange(0, count, width), count)


def _largest(norms_NT: Matrix, columns: Indices, rows: Indices) -> Matrix:
    thinned_NT = np.fmax.reduceat(norms_NT, columns[:-1], axis=0)
    return np.fmax.reduceat(thinned_NT, rows[:-1], axis=1)


def _names(rows: Indices) -> Iterator[str]:
    for begin, end in pairwise(rows.tolist()):
        yield f"t{end}" if end == begin + 1 else f"t{begin + 1}-{end}"


def _draw_columns(
    figure: Figure, axes: Axes, rows: Indices, records: Columns, cliffs: Columns
) -> None:
    all_NT, edges = np.concatenate([records[1], cliffs[1]]), _edges(records[0])
    limits = _limits(all_NT)
    mesh = _draw_mesh(axes, edges, rows, records[1], limits)
    half = max(1.0, (edges[-1] - edges[0]) / SIDE_BY_SIDE) / 2
    for step, norms_T in zip(*cliffs, strict=True):
        _draw_mesh(axes, np.array([step - half, step + half]), rows, norms_T[None], limits)
    _add_scale(figure, axes, mesh, all_NT)


def _draw_mesh(
    axes: Axes, edges: Matrix, rows: Indices, norms_NT: Matrix, limits: tuple[float, float]
) -> QuadMesh:
    low, high = limits
    below = low * (1 - 1e-9)
    drawn_NT = np.where(_vanished(norms_NT), below, np.maximum(norms_NT, low))
    drawn_NT = np.ma.masked_invalid(drawn_NT)
    colours = plt.get_cmap("viridis").with_extremes(bad="white", under="black")
    return axes.pcolormesh(
        edges, rows + 0.5, drawn_NT.T, norm=LogNorm(low, high), cmap=colours, rasterized=True
    )


def _add_scale(figure: Figure, axes: Axes, mesh: QuadMesh, norms_NT: Matrix) -> None:
    below = bool(_vanished(norms_NT).any())
    above = bool((_finite(norms_NT) > _limits(norms_NT)[1]).any())
    extend = ("both" if above else "min") if below else ("max" if above else "neither")
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, extend=extend)
    bar.set_label(r"$\|\partial L\,/\,\partial h_t\|$  (loss per unit of h)", fontsize="large")
    if below:
        bar.ax.annotate(
            "vanished", (0.5, 0), xycoords="axes fraction", xytext=(0, -26),
            textcoords="offset points", horizontalalignment="center",
        )  # fmt: skip


def _limits(norms_NT: Matrix) -> tuple[float, float]:
    arrived_NT = np.where(_vanished(norms_NT), 0.0, _finite(norms_NT))
    top_N = arrived_NT.max(1)
    top_N = top_N[top_N > 0]
    if not len(top_N):  # all of it is black, on any scale
        return 0.1, 1.0
    # What explodes does not push the others off the scale: most of the columns, or those before.
    usual = float(min(top_N[0], np.sort(top_N)[(len(top_N) - 1) // 2]))
    high = min(float(top_N.max()), usual * 10.0 ** (DECADES / 2))
    low = max(float(arrived_NT[arrived_NT > 0].min()), high * 10.0**-DECADES)
    return (low, high) if low < high else (low / 2, high * 2)


def _vanished(norms_NT: Matrix) -> NDArray[np.bool_]:
    largest_N1 = _finite(norms_NT).max(1, keepdims=True)
    return (norms_NT == 0) | (norms_NT < largest_N1 * 10.0**-DECADES)


def _finite(norms_NT: Matrix) -> Matrix:
    return np.where(np.isfinite(norms_NT), norms_NT, 0.0)


def _edges(steps_N: Matrix) -> Matrix:
    # A column reaches from its own step to the next column's.
    last = steps_N[-1] + (steps_N[-1] - steps_N[-2] if len(steps_N) > 1 else 1)
    return np.append(steps_N, last)


def _mark_cliffs(axes: Axes, cliff_steps: Matrix) -> None:
    if len(cliff_steps):
        axes.plot(
            cliff_steps, [1.015] * len(cliff_steps), "v", color=COLOURS[1], markersize=6,
            transform=axes.get_xaxis_transform(), clip_on=False, label="cliff",
        )  # fmt: skip
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1.03), frameon=False, borderaxespad=0,
            handletextpad=0.1,
        )  # fmt: skip


def _by_step(steps_N: Matrix, norms_NT: Matrix) -> dict[int, list[float]]:
    pairs = zip(steps_N.tolist(), norms_NT.tolist(), strict=True)
    return {int(step): [float(f"{norm:.6g}") for norm in norms_T] for step, norms_T in pairs}
