from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, Twin, register_cell
from rnnexp.types import State


@register_cell("lstm")
class LSTM(PointwiseCell):
    """Long short-term memory with a forget gate.

        i, f, o = sigmoid(W x_t + R h_{t-1} + b)     g = tanh(W x_t + R h_{t-1} + b)
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.

    Source: Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000. Gate order i, f, g, o as
        in torch.nn.LSTM.
    """

    num_gates = 4
    num_states = 2

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(1).fill_(forget_bias)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Write through i, keep through f, show through o."""
        i, f, g, o = (wx_BGH + rh_BGH).unbind(-2)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def twin(self) -> Twin:
        """torch.nn.LSTM, whose second bias is zero here."""
        no_bias = torch.zeros_like(self.bias_ih)
        return Twin("LSTM", self.weight_ih, self.weight_hh, self.bias_ih, no_bias)
