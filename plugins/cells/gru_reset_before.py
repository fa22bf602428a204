from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.cells.init import chrono_bias
from rnnexp.types import State


@register_cell("gru_reset_before")
class GRUResetBefore(MatrixCell):
    """Gated recurrent unit as first published: the reset gate before the recurrent product.

        r, z = sigmoid(W x_t + R h_{t-1} + b)
        n    = tanh(W x_t + R (r * h_{t-1}) + b)
        h_t  = (1 - z) * n + z * h_{t-1}

    Another network than `gru`, which resets after the product: the two are equal for special
    weights, such as a diagonal R of the candidate (without `gru`'s b_r), and not in general.

    Args:
        chrono: T_max, the longest lag that is expected, in steps, at least 2: the initial bias of z
            is drawn as log U(1, T_max - 1). null for 0.

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder" (arXiv
        1406.1078). Gate order r, z, n.
    """

    family = "gated"
    num_gates = 3

    def __init__(self, input_size: int, *, chrono: float | None = None, **options: Any) -> None:
        super().__init__(input_size, **options)
        if chrono is not None:
            self.gate_bias(1).copy_(chrono_bias(self.hidden_size, chrono))

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Reset the past, multiply, then mix candidate and past by z."""
        (h,) = state
        wx_r, wx_z, wx_n = self.project_input(x_BI).unbind(-2)
        r, z = torch.sigmoid(wx_r + self.recur(0, h)), torch.sigmoid(wx_z + self.recur(1, h))
        n = torch.tanh(wx_n + self.recur(2, r * h))
        h = (1 - z) * n + z * h
        return h, (h,)
