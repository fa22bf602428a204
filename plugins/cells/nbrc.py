import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("nbrc")
class NBRC(PointwiseCell):
    """The neuromodulated bistable cell: other units decide whether a unit is bistable.

        a   = 1 + tanh(W x_t + R h_{t-1} + b)       bistable where above 1
        c   = sigmoid(W x_t + R h_{t-1} + b)
        h_t = c * h_{t-1} + (1 - c) * tanh(W x_t + a * h_{t-1} + b)

    Source: Vecoven, Ernst, Drion 2021, "A bio-inspired bistable recurrent cell allows for
        long-lasting memory", doi:10.1371/journal.pone.0252676.
    """

    family = "gated"
    num_gates = 3
    num_recurrent = 2

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the past with what feeds itself by a."""
        h = state[0]
        sum_a, sum_c, wx_n = (wx_BGH + rh_BGH).unbind(-2)
        a, c = 1 + torch.tanh(sum_a), torch.sigmoid(sum_c)
        return (c * h + (1 - c) * torch.tanh(wx_n + a * h),)
