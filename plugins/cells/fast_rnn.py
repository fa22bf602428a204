from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import filled
from rnnexp.types import State


@register_cell("fast_rnn")
class FastRNN(PointwiseCell):
    """A simple network with a weighted residual connection through time; two scalars more.

        n   = tanh(W x_t + R h_{t-1} + b)
        h_t = sigmoid(alpha) * n + sigmoid(beta) * h_{t-1}

    The initial shares add up to 1 where beta = -alpha; with a larger sum gradients can grow.

    Args:
        alpha: initial logit of the share of the new.
        beta: initial logit of the share of the past.

    Source: Kusupati et al. 2018, "FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated
        recurrent neural network", arXiv:1901.02358; the initial logits as in the authors' EdgeML.
    """

    family = "timescale"
    num_gates = 1

    def __init__(
        self, input_size: int, *, alpha: float = -3.0, beta: float = 3.0, **options: Any
    ) -> None:
        super().__init__(input_size, **options)
        self.alpha = filled(1, alpha)
        self.beta = filled(1, beta)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Weigh the new and the past."""
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (torch.sigmoid(self.alpha) * new_BH + torch.sigmoid(self.beta) * state[0],)
