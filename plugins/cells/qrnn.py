from typing import Any, Literal

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.cells.init import gates_of, input_weight
from rnnexp.errors import ConfigError

POOLING = {"f": 2, "fo": 3, "ifo": 4}


@register_cell("qrnn")
class QRNN(LinearCell):
    """Quasi-recurrent network: convolutions over the last inputs, and a gated sum over time.

        z = tanh(W_z x + b_z)    f, o, i = sigmoid(W x + b)    x = [x_{t-width+1}, ..., x_t]
        c_t = f * c_{t-1} + (1 - f) * z                        i * z for (1 - f) * z under ifo
        h_t = o * c_t                                          c_t under f

    Args:
        width: how many inputs the convolution sees, x_t among them.
        pooling: which gates there are.

    Source: Bradbury et al. 2016, "Quasi-recurrent neural networks" (arXiv 1611.01576).
    """

    def __init__(
        self,
        input_size: int,
        *,
        width: int = 2,
        pooling: Literal["f", "fo", "ifo"] = "fo",
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        if width < 1:
            raise ConfigError(f"cell.width: must be at least 1, got {width}.")
        self.reach = width
        self.pooling = pooling
        self.gates = POOLING[pooling]
        self.weight_ih = input_weight(self.gates, self.hidden_size, width * input_size)
        self.bias_ih = nn.Parameter(torch.zeros(self.gates * self.hidden_size))

    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Keep f, and add the new value by what f or i leaves of it."""
        z, f = self._products(seen_BI, 0, 2)
        f = torch.sigmoid(f)
        if self.pooling != "ifo":
            return f, (1 - f) * torch.tanh(z)
        (i,) = self._products(seen_BI, 3, 4)
        return f, torch.sigmoid(i) * torch.tanh(z)

    def readout(self, s_BN: Tensor, seen_BI: Tensor) -> Tensor:
        """Show c through o."""
        if self.pooling == "f":
            return s_BN
        (o,) = self._products(seen_BI, 2, 3)
        return torch.sigmoid(o) * s_BN

    def _products(self, seen_BI: Tensor, first: int, end: int) -> tuple[Tensor, ...]:
        rows = slice(first * self.hidden_size, end * self.hidden_size)
        gates = gates_of(seen_BI, self.weight_ih[rows], self.bias_ih[rows], end - first)
        return gates.unbind(-2)
