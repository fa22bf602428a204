import math
from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.errors import ConfigError
from rnnexp.types import State

_LARGEST_LEARNED = 0.99


@register_cell("leaky")
class Leaky(PointwiseCell):
    """Leaky units: each keeps a share of its past, so that slow units remember long.

        a   = sigmoid(leak_logit)                              one per unit
        h_t = (1 - a) * h_{t-1} + a * tanh(W x_t + R h_{t-1} + b)

    Args:
        leak: share a of the new value at the start, in (0, 1]; 1/a is the time constant in steps.
            Where the leaks are learned, 0.99 stands for more: one of 1 has no gradient.
        slowest_leak: a of the slowest unit; the units are then spread from it to ``leak`` on a
            log scale. null gives every unit the same.
        trainable: whether the leaks are learned.

    Source: Jaeger et al. 2007, "Optimization and applications of echo state networks with leaky
        integrator neurons".
    """

    family = "timescale"
    num_gates = 1

    def __init__(
        self,
        input_size: int,
        *,
        leak: float = 0.5,
        slowest_leak: float | None = None,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        slowest = leak if slowest_leak is None else slowest_leak
        if not 0 < slowest <= leak <= 1:
            raise ConfigError(
                "cell.leak, cell.slowest_leak: must satisfy 0 < slowest_leak <= leak <= 1, "
                f"got leak={leak}, slowest_leak={slowest_leak}."
            )
        leak_H = torch.logspace(math.log10(slowest), math.log10(leak), self.hidden_size)
        logit_H = torch.logit(leak_H.clamp(max=_LARGEST_LEARNED if trainable else 1.0))
        # Where it is not learned, a share of 1 is to be 1: sigmoid(40) is, in double precision too.
        self.leak_logit = nn.Parameter(logit_H.clamp(max=40.0), requires_grad=trainable)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the old value and the new one by the leak."""
        leak_H = torch.sigmoid(self.leak_logit)
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return ((1 - leak_H) * state[0] + leak_H * new_BH,)
