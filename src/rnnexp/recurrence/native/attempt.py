"""Make the compiled loops of a cell, and try them once against its own steps."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.check import agrees
from rnnexp.recurrence.native.build import BuildError, say_once
from rnnexp.recurrence.native.grid import UnsupportedError
from rnnexp.recurrence.stand_in import apart
from rnnexp.recurrence.trace import Trace
from rnnexp.types import State

Kernel = TypeVar("Kernel")
Unroll = Callable[[Kernel, PointwiseCell, Tensor, State, Trace | None], tuple[Tensor, State]]


def made_or_reason(
    cell: PointwiseCell, make: Callable[[PointwiseCell], Kernel], unroll: Unroll[Kernel]
) -> Kernel | str:
    """Give the loops; the reason in words where there can be none.

    Args:
        cell: any.
        make: makes them.
        unroll: runs them with the weights of the cell.
    """
    cell = _apart(cell)
    try:
        kernel = make(cell)
        # A trace cannot see everything: another gradient than the operators have shows itself here.
        if not agrees(lambda x, state: unroll(kernel, cell, x, state, None), cell):
            return (
                "its update has another value or gradient than its operators have; does it use "
                "an autograd Function of its own, no_grad, or numbers that change or are drawn?"
            )
    except BuildError as error:
        say_once(str(error))
        return str(error)
    except UnsupportedError as error:
        return str(error)
    return kernel


def _apart(cell: PointwiseCell) -> PointwiseCell:
    # Of the cell itself other threads would see, for a moment, the tensors that record; and its
    # hooks would be called with gradients of nothing that the user runs.
    try:
        return apart(cell)
    except Exception:  # it holds what cannot be copied
        return cell
