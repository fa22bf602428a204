from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, RecurrentInit, register_cell, require
from rnnexp.cells.init import antisymmetric
from rnnexp.types import State


@register_cell("gated_antisymmetric")
class GatedAntisymmetric(PointwiseCell):
    """An antisymmetric step whose length an input gate chooses, by the same matrix.

        A   = R - R' - gamma I
        z   = sigmoid(W x_t + A h_{t-1} + b)
        h_t = h_{t-1} + epsilon * z * tanh(W x_t + A h_{t-1} + b)

    Args:
        recurrent_init: initial R. A has its skew part alone: identity and zeros both give
            A = -gamma I.
        epsilon: length of a step.
        gamma: damping, as in `antisymmetric`.

    Source: Chang, Chen, Haber, Chi 2019, "AntisymmetricRNN: a dynamical system view on recurrent
        neural networks", arXiv:1902.09689.
    """

    family = "orthogonal"
    num_gates = 2
    num_recurrent = 1

    def __init__(
        self,
        input_size: int,
        *,
        recurrent_init: RecurrentInit = "orthogonal",
        epsilon: float = 0.2,
        gamma: float = 0.01,
        **options: Any,
    ) -> None:
        super().__init__(input_size, recurrent_init=recurrent_init, **options)
        require(epsilon > 0, "epsilon", "above 0", epsilon)
        require(gamma >= 0, "gamma", "at least 0", gamma)
        self.epsilon = epsilon
        self.gamma = gamma

    def recurrent_weight(self) -> Tensor:
        """Make A of R."""
        assert self.weight_hh is not None
        return antisymmetric(self.weight_hh, self.gamma)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Go a gated step from the old state."""
        wx_z, wx_n = wx_BGH.unbind(-2)
        past = rh_BGH.select(-2, 0)
        z = torch.sigmoid(wx_z + past)
        return (state[0] + self.epsilon * z * torch.tanh(wx_n + past),)
