import math
from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.errors import ConfigError
from rnnexp.types import State


@register_cell("phased_lstm")
class PhasedLSTM(PointwiseCell):
    """LSTM whose units open for a share of a rhythm of their own, and else keep what they have.

        i, f = sigmoid(W x_t + R h_{t-1} + p * c_{t-1} + b)     g = tanh(W x_t + R h_{t-1} + b)
        c'   = f * c_{t-1} + i * g
        o    = sigmoid(W x_t + R h_{t-1} + p * c' + b)          h' = o * tanh(c')
        c_t  = k * c' + (1 - k) * c_{t-1}                       h_t = k * h' + (1 - k) * h_{t-1}
        k    = 2 phi / r,  2 - 2 phi / r,  leak * phi           phi = ((t - s) mod tau) / tau
               in the first and second half of the open share r, and beyond it

    t counts the steps from 0. tau and the shift s are learned.

    Args:
        shortest_period: smallest tau at the start, in steps; drawn evenly on a log scale.
        longest_period: largest tau at the start.
        open_share: r, the share of its period in which a unit is open, in (0, 1].
        leak: slope of k while a unit is shut, in training and in evaluation alike.
        forget_bias: initial bias of the forget gate.

    Source: Neil et al. 2016, "Phased LSTM" (arXiv 1610.09513); the paper sets
        the leak to 0 in evaluation. Gate order i, f, g, o.
    """

    family = "timescale"
    num_gates = 4
    num_states = 3
    clock_states = (2,)

    def __init__(
        self,
        input_size: int,
        *,
        shortest_period: float = 2.0,
        longest_period: float = 100.0,
        open_share: float = 0.05,
        leak: float = 0.001,
        forget_bias: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        if not (0 < shortest_period <= longest_period and 0 < open_share <= 1):
            raise ConfigError(
                "cell.shortest_period, cell.longest_period, cell.open_share: must satisfy 0 < "
                "shortest_period <= longest_period and 0 < open_share <= 1, got "
                f"{shortest_period}, {longest_period} and {open_share}."
            )
        self.open_share, self.leak = open_share, leak
        units = self.hidden_size
        ends = math.log(shortest_period), math.log(longest_period)
        self.log_period = nn.Parameter(torch.empty(units).uniform_(*ends))
        self.shift = nn.Parameter(torch.rand(units) * self.log_period.detach().exp())
        self.peephole = nn.Parameter(torch.zeros(3, units))
        self.gate_bias(1).fill_(forget_bias)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Update as an LSTM does, by as much as each unit is open."""
        h, c, time = state
        i, f, g, o = (wx_BGH + rh_BGH).unbind(-2)
        p_i, p_f, p_o = self.peephole
        new_c = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
        new_h = torch.sigmoid(o + p_o * new_c) * torch.tanh(new_c)
        k = self._openness(time)
        return k * new_h + (1 - k) * h, k * new_c + (1 - k) * c, time + 1

    def _openness(self, time: Tensor) -> Tensor:
        period = torch.exp(self.log_period)
        phase = torch.remainder(time - self.shift, period) / period
        rise = 2 * phase / self.open_share
        shut = torch.where(phase < self.open_share, 2 - rise, self.leak * phase)
        return torch.where(rise < 1, rise, shut)
