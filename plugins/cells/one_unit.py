from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, register_cell
from rnnexp.types import State


@register_cell("one_unit")
class OneUnit(Cell):
    """One sigmoid unit without input: two weights, so that the whole error surface can be drawn.

        h_0 = sigmoid(x0)
        h_t = sigmoid(w * h_{t-1} + b)

    In the paper's symbols x_t = w * sigmoid(x_{t-1}) + b, of which h_t is the sigmoid. For w above
    4 there are two resting points; where one of them vanishes, the error has a cliff.

    Args:
        w: recurrent weight at the start.
        b: bias at the start.
        x0: state before the first step.

    Source: Pascanu et al. 2013, figure 6.
    """

    def __init__(
        self, input_size: int, *, w: float = 5.0, b: float = -2.8, x0: float = 0.5
    ) -> None:
        super().__init__(input_size, hidden_size=1)
        self.x0 = x0
        self.weight_hh = nn.Parameter(torch.full((1, 1), float(w)))
        self.bias_hh = nn.Parameter(torch.full((1,), float(b)))

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from sigmoid(x0)."""
        return (torch.sigmoid(self.zeros(batch_shape) + self.x0),)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one step; the input is not read."""
        del x_BI
        h_BH = torch.sigmoid(nn.functional.linear(state[0], self.weight_hh, self.bias_hh))
        return h_BH, (h_BH,)
