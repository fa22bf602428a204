from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import filled
from rnnexp.types import State


@register_cell("fast_grnn")
class FastGRNN(PointwiseCell):
    """A gated unit whose gate and candidate share both matrices and differ by their bias.

        z   = sigmoid(W x_t + R h_{t-1} + b_z)
        n   = tanh(W x_t + R h_{t-1} + b_n)
        h_t = (sigmoid(zeta) * (1 - z) + sigmoid(nu)) * n + z * h_{t-1}

    Args:
        zeta: initial logit of the weight of the gated candidate.
        nu: initial logit of the weight of the candidate that no gate stops.
        gate_bias: initial b_z; above 0 the cell remembers at first.

    Source: Kusupati et al. 2018, "FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated
        recurrent neural network", arXiv:1901.02358.
    """

    family = "gated"
    num_gates = 1

    def __init__(
        self,
        input_size: int,
        *,
        zeta: float = 1.0,
        nu: float = -4.0,
        gate_bias: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        self.zeta = filled(1, zeta)
        self.nu = filled(1, nu)
        self.bias_z = filled(self.hidden_size, gate_bias)

    def project_input(self, x_BI: Tensor) -> Tensor:
        """Compute ``W x`` without a bias: gate and candidate have each their own."""
        return nn.functional.linear(x_BI, self.weight_ih).unsqueeze(-2)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix candidate and past by the gate."""
        shared = (wx_BGH + rh_BGH).squeeze(-2)
        z = torch.sigmoid(shared + self.bias_z)
        weight = torch.sigmoid(self.zeta) * (1 - z) + torch.sigmoid(self.nu)
        return (weight * torch.tanh(shared + self.bias_ih) + z * state[0],)
