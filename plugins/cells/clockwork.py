from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.errors import ConfigError
from rnnexp.types import State

LONGEST = 1 << 24
"""Steps; up to there a clock in float32 counts each of them."""


@register_cell("clockwork")
class Clockwork(PointwiseCell):
    """Groups of units that tick at periods of their own; the fast listen to the slow.

        h_t[g] = tanh(W x_t + R h_{t-1} + b)[g]        if t mod base^g = 0
        h_t[g] = h_{t-1}[g]                            else
        R      has no weights from a faster group to a slower one

    t counts the steps from 0: every group ticks at the first.

    Args:
        groups: how many groups of units, equal in size where that is possible.
        base: the periods of the groups are its powers 1, base, base^2, ...

    Source: Koutník et al. 2014, "A clockwork RNN" (arXiv 1402.3511).
    """

    family = "timescale"
    num_gates = 1
    num_states = 2
    clock_states = (1,)
    mask: Tensor
    period: Tensor

    def __init__(self, input_size: int, *, groups: int = 4, base: int = 2, **options: Any) -> None:
        super().__init__(input_size, **options)
        if groups < 1 or base < 2 or base ** (groups - 1) > LONGEST:
            raise ConfigError(
                "cell.groups, cell.base: must be at least 1 and 2, and the longest period, "
                f"base^(groups-1), at most {LONGEST}, got groups={groups}, base={base}."
            )
        group_H = torch.arange(self.hidden_size) * groups // self.hidden_size
        slower_or_same = group_H.unsqueeze(0) >= group_H.unsqueeze(1)
        self.register_buffer("mask", slower_or_same.to(torch.get_default_dtype()))
        self.register_buffer("period", (base**group_H).to(torch.get_default_dtype()))

    def recurrent_weight(self) -> Tensor:
        """Cut the weights from faster groups to slower ones."""
        assert self.weight_hh is not None
        return self.mask * self.weight_hh

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Advance the units whose clock is at 0, and every clock."""
        h, clock = state
        new = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        later = clock + 1
        wound = torch.where(later >= self.period, torch.zeros_like(later), later)
        return torch.where(clock < 1, new, h), wound
