from collections.abc import Sequence

import torch
from torch import Tensor

from rnnexp.cells import Cell, register_cell
from rnnexp.cells.init import filled
from rnnexp.types import State


@register_cell("one_unit")
class OneUnit(Cell):
    """A sigmoid unit that sees only itself: two weights, so that its error surface can be drawn.

        h_0 = sigmoid(x0)
        h_t = sigmoid(w * h_{t-1} + b)

    In the paper's symbols x_t = w * sigmoid(x_{t-1}) + b, of which h_t is the sigmoid. For w above
    4 and b in a range around -w / 2 there are two stable resting points; where one of them
    vanishes, at an end of that range, the error has a cliff. With more than one unit each has a w
    and a b of its own.

    Args:
        w: recurrent weight at the start.
        b: bias at the start.
        x0: state before the first step.

    Source: Pascanu et al. 2013, figure 6.
    """

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 1,
        w: float = 5.0,
        b: float = -1.5,
        x0: float = 0.5,
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        self.x0 = x0
        self.weight_hh = filled(hidden_size, w)
        self.bias_hh = filled(hidden_size, b)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from sigmoid(x0)."""
        return (torch.sigmoid(self.zeros(batch_shape) + self.x0),)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one step; the input is not read."""
        del x_BI
        h_BH = torch.sigmoid(self.weight_hh * state[0] + self.bias_hh)
        return h_BH, (h_BH,)
