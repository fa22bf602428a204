import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import uniform
from rnnexp.types import State


@register_cell("brc")
class BRC(PointwiseCell):
    """A bistable cell: each unit feeds itself alone, strongly enough to hold one of two values.

        a   = 1 + tanh(W x_t + w * h_{t-1} + b)     bistable where above 1
        c   = sigmoid(W x_t + w * h_{t-1} + b)
        h_t = c * h_{t-1} + (1 - c) * tanh(W x_t + a * h_{t-1} + b)

    Args:
        hidden_size: hidden units H, which is also the width of the output.

    Source: Vecoven, Ernst, Drion 2021, "A bio-inspired bistable recurrent cell allows for
        long-lasting memory", doi:10.1371/journal.pone.0252676.
    """

    family = "gated"
    num_gates = 3
    num_recurrent = 0

    def __init__(self, input_size: int, *, hidden_size: int = 64) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        self.weight_hh_diagonal = uniform(2, hidden_size)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the past with what feeds itself by a."""
        del rh_BGH
        h = state[0]
        wx_a, wx_c, wx_n = wx_BGH.unbind(-2)
        w_a, w_c = self.weight_hh_diagonal.unbind(0)
        a, c = 1 + torch.tanh(wx_a + w_a * h), torch.sigmoid(wx_c + w_c * h)
        return (c * h + (1 - c) * torch.tanh(wx_n + a * h),)
