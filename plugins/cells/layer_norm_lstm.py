from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, RecurrentInit, register_cell
from rnnexp.cells.init import fill_keeping_, filled, input_weight, square
from rnnexp.types import State


@register_cell("layer_norm_lstm")
class LayerNormLSTM(Cell):
    """LSTM whose products and cell are normalised over the units of each row.

        i, f, g, o = N(W x_t) * a_x + N(R h_{t-1}) * a_h + b      N(v) = (v - mean v) / std v
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(N(c_t) * a_c + b_c)

    The products are normalised over all four gates together. std v = sqrt(var v + 1e-5), so that
    N(0) = 0.

    Args:
        recurrent_init: initial recurrent weights.
        forget_bias: initial bias of the forget gate.
        chrono: T_max, the longest lag that is expected, in steps, at least 2: instead, the bias is
            drawn as log U(1, T_max - 1), and that of i is its negative. null for none.

    Source: Ba et al. 2016, "Layer normalization" (arXiv 1607.06450). Gate
        order i, f, g, o.
    """

    family = "lstm"

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        recurrent_init: RecurrentInit = "orthogonal",
        forget_bias: float = 1.0,
        chrono: float | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        self.weight_ih = input_weight(4, hidden_size, input_size)
        self.weight_hh = square(hidden_size, 4, recurrent_init)
        self.gain_ih, self.gain_hh = filled(4 * hidden_size, 1.0), filled(4 * hidden_size, 1.0)
        self.bias_ih = filled(4 * hidden_size, 0.0)
        self.gain_c, self.bias_c = filled(hidden_size, 1.0), filled(hidden_size, 0.0)
        b_i, b_f, *_ = self.bias_ih.detach().chunk(4)
        fill_keeping_(b_f, forget_bias, chrono, b_i)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from zeros."""
        return self.zeros(batch_shape), self.zeros(batch_shape)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one time step."""
        h, c = state
        wx = _normal(nn.functional.linear(x_BI, self.weight_ih), self.gain_ih, self.bias_ih)
        sum_BG = wx + _normal(nn.functional.linear(h, self.weight_hh), self.gain_hh)
        i, f, g, o = sum_BG.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(_normal(c, self.gain_c, self.bias_c))
        return h, (h, c)


def _normal(x: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    return nn.functional.layer_norm(x, x.shape[-1:], gain, bias)
