from typing import Any, Literal

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.cells.init import input_weight
from rnnexp.errors import ConfigError


@register_cell("time_conv")
class TimeConv(LinearCell):
    """Convolution over time, the shallow alternative: shared weights and no recurrence.

        h_t = tanh(W [x_{t-width+1}, ..., x_t] + b)

    What lies more than width - 1 steps back is out of reach; a stack of L layers reaches
    L (width - 1) steps. The linear state has no numbers in it: all steps run at once.

    Args:
        width: how many inputs a step sees, x_t among them.
        nonlinearity: tanh or relu.

    Source: Lang et al. 1990, "A time-delay neural network architecture for isolated word
        recognition".
    """

    family = "memory"
    gradient_of = "output"

    def __init__(
        self,
        input_size: int,
        *,
        width: int = 5,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        if width < 1:
            raise ConfigError(f"cell.width: must be at least 1, got {width}.")
        self.state_size = 0
        self.reach = width
        self.nonlinearity = nonlinearity
        self.weight_ih = input_weight(1, self.hidden_size, width * input_size)
        self.bias_ih = nn.Parameter(torch.zeros(self.hidden_size))

    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Carry nothing."""
        nothing = seen_BI[..., :0]
        return nothing, nothing

    def readout(self, s_BN: Tensor, seen_BI: Tensor) -> Tensor:
        """Apply the filters to the inputs within reach."""
        del s_BN
        sum_BH = nn.functional.linear(seen_BI, self.weight_ih, self.bias_ih)
        return torch.tanh(sum_BH) if self.nonlinearity == "tanh" else torch.relu(sum_BH)
