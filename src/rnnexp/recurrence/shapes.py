"""What a step returns has the shapes of what it took, or each step makes more than the last."""

from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell
from rnnexp.errors import PluginError
from rnnexp.types import State


def check_step(cell: Cell, state: State, out_BH: Tensor, new: State) -> None:
    """Refuse a step that changes the shapes: by a batch axis too many, memory fills in seconds.

    Args:
        cell: whose step it was.
        state: what the step took.
        out_BH: the output that it returned.
        new: the state that it returned.

    Raises:
        PluginError: says which tensor, the shape expected and the one that came.
    """
    if len(new) != len(state):
        raise _error(cell, "the state", f"{len(state)} tensors", f"{len(new)}")
    for i, (before, after) in enumerate(zip(state, new, strict=True)):
        if before.shape != after.shape:
            raise _error(cell, f"state[{i}]", f"shape {tuple(before.shape)}", str(_shape(after)))
    if out_BH.shape[-1:] != (cell.hidden_size,):
        wanted = f"shape (..., {cell.hidden_size})"
        raise _error(cell, "the output", wanted, str(_shape(out_BH)))


def check_recurrent_weight(cell: Cell) -> None:
    """Refuse an R of another shape than the loops multiply by: missing rows would count as zeros.

    Args:
        cell: any; only a `PointwiseCell` has such an R.

    Raises:
        PluginError: says the shape expected and the one that came.
    """
    if not isinstance(cell, PointwiseCell):
        return
    gates = cell.num_gates if cell.num_recurrent is None else cell.num_recurrent
    wanted = (gates * cell.hidden_size, cell.hidden_size)
    found = _shape(cell.recurrent_weight())
    if found != wanted:
        raise PluginError(
            f"{type(cell).__name__}: recurrent_weight() must give R of shape {wanted}, a block of "
            f"H={cell.hidden_size} rows for each of its {gates} gates that have one, got {found}. "
            "State num_recurrent where only the first gates have one."
        )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _error(cell: Cell, what: str, expected: str, got: str) -> PluginError:
    return PluginError(
        f"{type(cell).__name__}: a step must return {what} in its form; expected {expected}, got "
        f"{got}. Select gates by unbind(-2), and see what rnnexp check says of the cell."
    )
