"""Tensors of expressions: each axis of a tensor is rows, hidden units, or a few gates.

Along B and H an elementwise update does the same to every element, so one expression stands for
the whole axis; along a gate axis each entry has its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rnnexp.errors import RnnexpError
from rnnexp.recurrence.native.ir import Node, constant

Axis = Literal["B", "H", "G"]
GATES: Axis = "G"


class UnsupportedError(RnnexpError):
    """What an update does that the generator cannot translate, as a sentence about the cell."""


@dataclass(frozen=True)
class Grid:
    """One tensor.

    Args:
        axes: the kind of each axis.
        nodes: the expressions, an array of objects with length 1 along B and H.
    """

    axes: tuple[Axis, ...]
    nodes: Any

    @classmethod
    def of(cls, axes: Sequence[Axis], nodes: Sequence[Node], shape: Sequence[int] = ()) -> "Grid":
        """Lay nodes out in an array; along B and H its length is 1."""
        array = np.empty(len(nodes), dtype=object)
        array[:] = nodes
        return cls(tuple(axes), array.reshape(tuple(shape)))

    @classmethod
    def number(cls, value: float) -> "Grid":
        """Make a number, which has no axes."""
        return cls.of((), [constant(value)])

    def along(self, dim: int) -> int:
        """Find a gate axis from a possibly negative index.

        Raises:
            UnsupportedError: the axis is rows or hidden units.
        """
        dim = dim % max(len(self.axes), 1)
        if self.axes[dim] != "G":
            kind = {"B": "rows", "H": "hidden units"}[self.axes[dim]]
            raise UnsupportedError(f"it takes apart the axis of {kind}.")
        return dim

    def select(self, dim: int, index: int) -> "Grid":
        """Take one entry of a gate axis."""
        dim = self.along(dim)
        return Grid(_without(self.axes, dim), np.take(self.nodes, index, axis=dim))

    def cut(self, dim: int, part: slice) -> "Grid":
        """Take a range of a gate axis."""
        dim = self.along(dim)
        return Grid(self.axes, self.nodes[(slice(None),) * dim + (part,)])

    def count(self, dim: int) -> int:
        """Count the entries of a gate axis."""
        return self.nodes.shape[self.along(dim)]

    def insert(self, dim: int) -> "Grid":
        """Add a gate axis of length 1."""
        dim = dim % (len(self.axes) + 1)
        axes = (*self.axes[:dim], GATES, *self.axes[dim:])
        return Grid(axes, np.expand_dims(self.nodes, dim))

    def squeeze(self, dim: int) -> "Grid":
        """Drop a gate axis of length 1; leave any other."""
        dim = dim % max(len(self.axes), 1)
        alone = self.axes[dim] == "G" and self.nodes.shape[dim] == 1
        return self.select(dim, 0) if alone else self


def _without(axes: tuple[Axis, ...], dim: int) -> tuple[Axis, ...]:
    return (*axes[:dim], *axes[dim + 1 :])


def elementwise(function: Callable[..., Node], *grids: Grid) -> Grid:
    """Apply a function of nodes to grids, broadcasting as torch does."""
    depth = max(len(grid.axes) for grid in grids)
    padded = [_padded(grid, depth) for grid in grids]
    axes: list[Axis] = [_joined([grid.axes[d] for grid in padded]) for d in range(depth)]
    for d, axis in enumerate(axes):
        if axis != "G" and any(grid.nodes.shape[d] != 1 for grid in padded):
            raise UnsupportedError("it mixes gates with rows or hidden units along one axis.")
    arrays = np.broadcast_arrays(*(grid.nodes for grid in padded))
    results = [function(*nodes) for nodes in zip(*(a.ravel() for a in arrays), strict=True)]
    return Grid.of(axes, results, arrays[0].shape)


def _padded(grid: Grid, depth: int) -> Grid:
    missing = depth - len(grid.axes)
    shape = (1,) * missing + grid.nodes.shape
    return Grid((GATES,) * missing + grid.axes, grid.nodes.reshape(shape))


def _joined(axes: list[Axis]) -> Axis:
    kinds: set[Axis] = {axis for axis in axes if axis != "G"}
    if len(kinds) > 1:
        raise UnsupportedError("it mixes the axes of rows and of hidden units.")
    return kinds.pop() if kinds else GATES


def join(grids: Sequence[Grid], dim: int) -> Grid:
    """Concatenate along a gate axis."""
    dim = grids[0].along(dim)
    if any(grid.axes != grids[0].axes for grid in grids):
        raise UnsupportedError("it concatenates tensors of different kinds of axes.")
    return Grid(grids[0].axes, np.concatenate([grid.nodes for grid in grids], axis=dim))
