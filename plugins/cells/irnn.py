from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import RecurrentInit
from rnnexp.types import State


@register_cell("irnn")
class IRNN(PointwiseCell):
    """Rectified units that start as an identity: at first each keeps what it has.

        h_t = relu(W x_t + R h_{t-1} + b)        R = 1, b = 0, W small at the start

    Args:
        input_deviation: standard deviation of the input weights at the start; null is
            Xavier's, as in the other cells.

    Source: Le et al. 2015, "A simple way to initialize recurrent networks of rectified linear
        units" (arXiv 1504.00941), section 3.
    """

    num_gates = 1

    def __init__(
        self,
        input_size: int,
        *,
        input_deviation: float | None = 0.001,
        recurrent_init: RecurrentInit = "identity",
        **options: Any,
    ) -> None:
        super().__init__(input_size, recurrent_init=recurrent_init, **options)
        if input_deviation is not None:
            nn.init.normal_(self.weight_ih.detach(), std=input_deviation)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Rectify the sum of the two products."""
        del state
        return (torch.relu((wx_BGH + rh_BGH).squeeze(-2)),)
