from typing import Any, Literal

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, Twin, register_cell
from rnnexp.types import State


@register_cell("elman")
class Elman(PointwiseCell):
    """The simple recurrent network: one hidden-to-hidden matrix and one nonlinearity.

        h_t = phi(W x_t + R h_{t-1} + b)

    Args:
        nonlinearity: phi, tanh or relu.

    Source: Elman 1990, "Finding structure in time".
    """

    num_gates = 1

    def __init__(
        self,
        input_size: int,
        *,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        self.nonlinearity = nonlinearity

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Apply phi to the sum of the two products."""
        del state
        sum_BH = (wx_BGH + rh_BGH).squeeze(-2)
        return (torch.tanh(sum_BH) if self.nonlinearity == "tanh" else torch.relu(sum_BH),)

    def twin(self) -> Twin:
        """torch.nn.RNN, whose second bias is zero here."""
        kind = "RNN_TANH" if self.nonlinearity == "tanh" else "RNN_RELU"
        no_bias = torch.zeros_like(self.bias_ih)
        return Twin(kind, self.weight_ih, self.weight_hh, self.bias_ih, no_bias)
