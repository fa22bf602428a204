import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, register_cell
from rnnexp.cells.init import filled
from rnnexp.errors import ConfigError
from rnnexp.types import State


@register_cell("conv_lstm")
class ConvLSTM(Cell):
    """LSTM over a line or an image: its products are convolutions over the positions in it.

        i, f = sigmoid(W * x_t + R * h_{t-1} + p c_{t-1} + b)     * convolves over positions
        g    = tanh(W * x_t + R * h_{t-1} + b)
        c_t  = f c_{t-1} + i g
        o    = sigmoid(W * x_t + R * h_{t-1} + p c_t + b)         h_t = o tanh(c_t)

    The I inputs are I / positions channels of positions, and the H outputs likewise, channel after
    channel; an image stands row after row. Each position has peepholes p of its own.

    Args:
        positions: positions in all; must divide I and H. null takes the most that divide both.
        height: rows of the image; must divide the positions. 1 is a line.
        kernel: positions across the kernel, odd.
        forget_bias: initial bias of the forget gate.

    Source: Shi et al. 2015, "Convolutional LSTM network" (arXiv 1506.04214), equation 3. Gate
        order i, f, g, o.
    """

    family = "grid"

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        positions: int | None = None,
        height: int = 1,
        kernel: int = 3,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        count = math.gcd(input_size, hidden_size) if positions is None else positions
        _check(input_size, hidden_size, count, height, kernel)
        self.shape = (height, count // height)
        channels, self.kernel = hidden_size // count, (1 if height == 1 else kernel, kernel)
        self.weight_ih = nn.Parameter(torch.empty(4 * channels, input_size // count, *self.kernel))
        self.weight_hh = nn.Parameter(torch.empty(4 * channels, channels, *self.kernel))
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.xavier_uniform_(weight.detach())
        self.bias_ih = filled(4 * channels, 0.0)
        self.bias_ih.detach()[channels : 2 * channels].fill_(forget_bias)
        self.peephole = nn.Parameter(torch.zeros(3, hidden_size))

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from zeros."""
        return self.zeros(batch_shape), self.zeros(batch_shape)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one time step."""
        h, c = state
        wx = self._convolve(x_BI, self.weight_ih, self.bias_ih)
        sum_BGH = wx + self._convolve(h, self.weight_hh, None)
        i, f, g, o = sum_BGH.unbind(-2)
        p_i, p_f, p_o = self.peephole
        c = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        return h, (h, c)

    def _convolve(self, flat_BN: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = flat_BN.reshape(-1, weight.shape[1], *self.shape)
        padding = (self.kernel[0] // 2, self.kernel[1] // 2)
        found = nn.functional.conv2d(rows, weight, bias, padding=padding)
        return found.reshape(*flat_BN.shape[:-1], 4, self.hidden_size)


def _check(inputs: int, hidden: int, positions: int, height: int, kernel: int) -> None:
    if positions < 1 or inputs % positions or hidden % positions:
        raise ConfigError(
            f"cell.positions={positions} must divide the {inputs} inputs and "
            f"cell.hidden_size={hidden}. Change either."
        )
    if height < 1 or positions % height:
        raise ConfigError(
            f"cell.height: must divide the {positions} positions of the image, got {height}."
        )
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigError(f"cell.kernel: must be odd and at least 1, got {kernel}.")
