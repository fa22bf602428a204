"""Cells with other tensors in the place of their own.

A backward pass comes when the tensors of the forward pass may have left the cell again, yet needs
them. And what only looks at a cell must call no hook of its parameters.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.func import functional_call

from rnnexp.cells import PointwiseCell
from rnnexp.types import State

Update = Callable[[Tensor, Tensor, State], State]
Module = TypeVar("Module", bound=nn.Module)


class UpdateOf(nn.Module):
    """A module whose call is the `update` of a cell, below the name ``cell``."""

    def __init__(self, cell: PointwiseCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, wx_BGH: Tensor, rh_BGH: Tensor, *state: Tensor) -> State:
        """Call `update`."""
        return self.cell.update(wx_BGH, rh_BGH, state)


def update_of(
    cell: PointwiseCell, parameters: Sequence[Tensor], buffers: Sequence[Tensor]
) -> Update:
    """Give the update of a cell as it was when it had these tensors.

    Args:
        cell: any; it may have others now.
        parameters: in the order of ``cell.parameters()``.
        buffers: in the order of ``cell.buffers()``.
    """
    own = [*cell.named_parameters(), *cell.named_buffers()]
    then = [*parameters, *buffers]
    if all(now is tensor for (_, now), tensor in zip(own, then, strict=True)):
        return cell.update
    tensors = {f"cell.{name}": tensor for (name, _), tensor in zip(own, then, strict=True)}
    module = UpdateOf(cell)

    def update(wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return functional_call(module, tensors, (wx_BGH, rh_BGH, *state))

    return update


def frozen(module: Module) -> Module:
    """Copy a module, so that neither a later assignment nor a later write to a buffer reaches it.

    Shared are the parameters, whose changes autograd sees, and lists and other objects it holds.
    """
    copy = object.__new__(type(module))
    own = vars(copy)
    own |= vars(module)
    own["_parameters"] = dict(own["_parameters"])
    own["_buffers"] = {n: b if b is None else b.clone() for n, b in own["_buffers"].items()}
    own["_modules"] = {n: m if m is None else frozen(m) for n, m in own["_modules"].items()}
    return copy


def without_hooks(parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Give leaves whose gradients can be asked for and no hook is called.

    Args:
        parameters: any; those that have no hook stand for themselves, for to put others into a
            cell is seen by other threads.
    """
    return tuple(
        p if p.is_leaf and not p._backward_hooks else p.detach().requires_grad_(p.requires_grad)
        for p in parameters
    )


def apart(cell: PointwiseCell) -> PointwiseCell:
    """Copy a cell, to look at it without calling the hooks of its parameters.

    Raises:
        Exception: whatever it holds that cannot be copied.
    """
    # Tensors that stand in for its own (functional_call) may be results, which cannot be copied as
    # they are.
    leaves = {id(p): nn.Parameter(p.detach().clone(), p.requires_grad) for p in cell.parameters()}
    buffers = {id(b): b.detach().clone() for b in cell.buffers()}
    return deepcopy(cell, dict[int, Any](leaves | buffers))
