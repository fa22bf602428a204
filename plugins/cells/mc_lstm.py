from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.types import State


@register_cell("mc_lstm")
class MCLSTM(MatrixCell):
    """An LSTM that feeds back a vector of its own, so that the output h need not control it.

        f, i, o, m = sigmoid(W x_t + R v_{t-1} + b)     n = tanh(W x_t + R v_{t-1} + b)
        c_t = f * c_{t-1} + i * n
        h_t = o * tanh(c_t)                             the output
        v_t = m * tanh(c_t)                             what is fed back; c and v are the state

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.

    Source: Ben-Ari & Shwartz-Ziv 2017, "Sequence modeling using a memory controller extension for
        LSTM", NIPS time series workshop.
    """

    family = "lstm"
    gradient_of = "state"
    num_gates = 5
    num_states = 2

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(0).fill_(forget_bias)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance the memory, then show it twice."""
        c, v = state
        f, i, o, m, n = (self.project_input(x_BI) + self.project_recurrent(v)).unbind(-2)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(n)
        shown = torch.tanh(c)
        return torch.sigmoid(o) * shown, (c, torch.sigmoid(m) * shown)
