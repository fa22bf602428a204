from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State

NOTHING = -1000.0
"""Logarithm of a weight that is 0 in every type of number."""


@register_cell("slstm")
class SLSTM(PointwiseCell):
    """LSTM with exponential gates, whose cell is a weighted mean of what was written.

        i = exp(W x_t + R h_{t-1} + b)     f = sigmoid(...) or exp(...)
        z = tanh(W x_t + R h_{t-1} + b)    o = sigmoid(W x_t + R h_{t-1} + b)
        c_t = f * c_{t-1} + i * z          n_t = f * n_{t-1} + i
        h_t = o * c_t / n_t

    What is carried is c / n and log n, of which the first moves by a share of weight and the
    second by a sum of logarithms: no exponential overflows, as with the paper's stabiliser.

    Args:
        forget: the forget gate.
        forget_bias: initial bias of the forget gate.

    Source: Beck et al. 2024, "xLSTM" (arXiv 2405.04517), with one head. Gate order
        i, f, z, o.
    """

    family = "lstm"
    num_gates = 4
    num_states = 3
    operators_are_gates = False  # one sigmoid is the share of weight, and f is made of others

    def __init__(
        self,
        input_size: int,
        *,
        forget: Literal["sigmoid", "exp"] = "sigmoid",
        forget_bias: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        self.forget = forget
        self.gate_bias(1).fill_(forget_bias)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start without any weight: n = 0."""
        zeros = self.zeros(batch_shape)
        return zeros, zeros.clone(), zeros + NOTHING

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Move the mean by the share of weight of what is written."""
        i, f, z, o = (wx_BGH + rh_BGH).unbind(-2)
        kept = state[2] + (f if self.forget == "exp" else _log_sigmoid(f))
        share = torch.sigmoid(kept - i)
        mean = share * state[1] + (1 - share) * torch.tanh(z)
        log_n = torch.maximum(kept, i) + torch.log1p(torch.exp(-torch.abs(kept - i)))
        return torch.sigmoid(o) * mean, mean, log_n


def _log_sigmoid(x: Tensor) -> Tensor:
    # minimum, not clamp: at 0 its slope is 1/2, and so that of the whole is right.
    return torch.minimum(x, torch.zeros_like(x)) - torch.log1p(torch.exp(-torch.abs(x)))
