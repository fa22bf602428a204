import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.types import State


@register_cell("mgu")
class MGU(MatrixCell):
    """The minimal gated unit: a GRU whose one gate both resets and updates.

        f   = sigmoid(W x_t + R h_{t-1} + b)
        n   = tanh(W x_t + R (f * h_{t-1}) + b)
        h_t = (1 - f) * h_{t-1} + f * n

    Source: Zhou, Wu, Zhang, Zhou 2016, "Minimal gated unit for recurrent neural networks",
        arXiv:1603.09420.
    """

    family = "gated"
    num_gates = 2

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Gate the past before its product, then mix it with the new."""
        (h,) = state
        wx_f, wx_n = self.project_input(x_BI).unbind(-2)
        f = torch.sigmoid(wx_f + self.recur(0, h))
        h = (1 - f) * h + f * torch.tanh(wx_n + self.recur(1, f * h))
        return h, (h,)
