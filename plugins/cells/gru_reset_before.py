from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, RecurrentInit, register_cell
from rnnexp.cells.init import filled, gates_of, input_weight, recurrent_weight
from rnnexp.types import State


@register_cell("gru_reset_before")
class GRUResetBefore(Cell):
    """Gated recurrent unit as first published: the reset gate before the recurrent product.

        r, z = sigmoid(W x_t + R h_{t-1} + b)
        n    = tanh(W x_t + R (r * h_{t-1}) + b)
        h_t  = (1 - z) * n + z * h_{t-1}

    Another network than `gru`, which resets after the product: no weights make the two equal.

    Args:
        recurrent_init: initial recurrent weights.

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder" (arXiv
        1406.1078), section 2.3. Gate order r, z, n.
    """

    family = "gated"

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        recurrent_init: RecurrentInit = "orthogonal",
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        self.weight_ih = input_weight(3, hidden_size, input_size)
        self.weight_hh = recurrent_weight(3, hidden_size, recurrent_init)
        self.bias_ih = filled(3 * hidden_size, 0.0)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from zeros."""
        return (self.zeros(batch_shape),)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Reset the past, multiply, then mix candidate and past by z."""
        (h,) = state
        wx_r, wx_z, wx_n = gates_of(x_BI, self.weight_ih, self.bias_ih, 3).unbind(-2)
        gates, candidate = self.weight_hh.split([2 * self.hidden_size, self.hidden_size])
        rh_r, rh_z = gates_of(h, gates, None, 2).unbind(-2)
        z = torch.sigmoid(wx_z + rh_z)
        reset = torch.sigmoid(wx_r + rh_r) * h
        n = torch.tanh(wx_n + nn.functional.linear(reset, candidate))
        h = (1 - z) * n + z * h
        return h, (h,)
