import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("atr")
class ATR(PointwiseCell):
    """Twin gates from the sum and the difference of the same two products.

        p   = W x_t + b        q = R h_{t-1} + b_r
        i   = sigmoid(p + q)   f = sigmoid(p - q)
        h_t = i * p + f * h_{t-1}

    Source: Zhang, Xiong, Su, Lin, Zhang 2018, "Simplifying neural machine translation with
        addition-subtraction twin-gated recurrent networks", arXiv:1810.12546.
    """

    family = "gated"
    num_gates = 1
    recurrent_bias = True

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Add the input through i to the past through f."""
        p, q = wx_BGH.squeeze(-2), rh_BGH.squeeze(-2)
        return (torch.sigmoid(p + q) * p + torch.sigmoid(p - q) * state[0],)
