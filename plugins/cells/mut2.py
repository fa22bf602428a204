import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.types import State


@register_cell("mut2")
class MUT2(MatrixCell):
    """The second of three cells that a search by mutation found: a GRU that resets first.

        z   = sigmoid(W x_t + R h_{t-1} + b)
        r   = sigmoid(W x_t + R h_{t-1} + b)
        n   = tanh(W x_t + R (r * h_{t-1}) + b)
        h_t = z * n + (1 - z) * h_{t-1}

    The paper has x_t in r without a matrix; here W brings x to the width of h.

    Source: Jozefowicz, Zaremba, Sutskever 2015, "An empirical exploration of recurrent network
        architectures", ICML, PMLR 37.
    """

    family = "gated"
    num_gates = 3

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Reset the past before its product, then mix by z."""
        (h,) = state
        wx_z, wx_r, wx_n = self.project_input(x_BI).unbind(-2)
        z = torch.sigmoid(wx_z + self.recur(0, h))
        r = torch.sigmoid(wx_r + self.recur(1, h))
        n = torch.tanh(wx_n + self.recur(2, r * h))
        h = z * n + (1 - z) * h
        return h, (h,)
