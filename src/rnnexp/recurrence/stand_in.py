"""`update` with other tensors in the place of a cell's own, as `torch.func.functional_call` has it.

A backward pass comes when the other tensors have left the cell again, yet needs them.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.func import functional_call

from rnnexp.cells import PointwiseCell
from rnnexp.types import State

Update = Callable[[Tensor, Tensor, State], State]


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
