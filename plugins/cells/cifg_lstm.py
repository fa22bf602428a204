from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import fill_keeping_
from rnnexp.types import State


@register_cell("cifg_lstm")
class CIFGLSTM(PointwiseCell):
    """LSTM with coupled gates: what is written takes the place of what is forgotten.

        f, o = sigmoid(W x_t + R h_{t-1} + b)     g = tanh(W x_t + R h_{t-1} + b)
        c_t  = f * c_{t-1} + (1 - f) * g
        h_t  = o * tanh(c_t)

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.
        chrono: T_max, the longest lag that is expected, in steps, at least 2: instead, the bias is
            drawn as log U(1, T_max - 1). null for none.

    Source: Greff et al. 2015, "LSTM: a search space odyssey" (arXiv 1503.04069), variant CIFG,
        without peepholes. Gate order f, g, o.
    """

    family = "lstm"
    num_gates = 3
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
        fill_keeping_(self.gate_bias(0), forget_bias, chrono)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix past and candidate by f, show through o."""
        f, g, o = (wx_BGH + rh_BGH).unbind(-2)
        keep = torch.sigmoid(f)
        c = keep * state[1] + (1 - keep) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
