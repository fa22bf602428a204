from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import fill_keeping_, uniform
from rnnexp.types import State


@register_cell("peephole_lstm")
class PeepholeLSTM(PointwiseCell):
    """An LSTM whose gates see its memory, each unit its own: it can count and time.

        i, f = sigmoid(W x_t + R h_{t-1} + p * c_{t-1} + b)
        g    = tanh(W x_t + R h_{t-1} + b)
        c_t  = f * c_{t-1} + i * g
        o    = sigmoid(W x_t + R h_{t-1} + p * c_t + b)
        h_t  = o * tanh(c_t)

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.
        chrono: T_max, the longest lag that is expected, in steps, at least 2: instead, the bias is
            drawn as log U(1, T_max - 1), and that of i is its negative. null for none.

    Source: Gers, Schraudolph, Schmidhuber 2002, "Learning precise timing with LSTM recurrent
        networks", JMLR 3.
    """

    family = "lstm"
    num_gates = 4
    num_states = 2

    def __init__(
        self,
        input_size: int,
        *,
        forget_bias: float = 1.0,
        chrono: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        fill_keeping_(self.gate_bias(1), forget_bias, chrono, self.gate_bias(0))
        self.peephole = uniform(3, self.hidden_size, low=-0.1, high=0.1)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Let i and f see the old memory, and o the new."""
        i, f, g, o = (wx_BGH + rh_BGH).unbind(-2)
        p_i, p_f, p_o = self.peephole.unbind(0)
        c = state[1]
        i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
        c = f * c + i * torch.tanh(g)
        return torch.sigmoid(o + p_o * c) * torch.tanh(c), c
