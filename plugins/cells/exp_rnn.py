import math
from typing import Literal

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.rotation import rotation
from rnnexp.types import State

LARGEST_ANGLE = {"exp": math.pi, "cayley": math.pi / 2}


@register_cell("exp_rnn")
class ExpRNN(PointwiseCell):
    """A recurrent matrix that stays orthogonal: it turns h and keeps its norm.

        h_t = phi(W x_t + R h_{t-1} + b)          A = tril(F) - tril(F)^T
        R   = exp(A)                              map=exp
        R   = (1 - A/2)^{-1} (1 + A/2)            map=cayley
        R   = H_1 H_2 ... H_H                     map=householder, reflections made of F's columns
        phi = modrelu: sign(z) * relu(|z| + m)

    At the start exp and cayley turn pairs of units by angles drawn evenly.

    Args:
        map: how R is made of the free parameters.
        nonlinearity: phi, modrelu or tanh.

    Source: Lezcano-Casado & Martínez-Rubio 2019, "Cheap orthogonal constraints in neural networks"
        (ICML); Cayley: Helfrich et al. 2018, "Orthogonal recurrent neural networks with scaled
        Cayley transform", here without the scaling; Householder: Mhammedi et al. 2017, "Efficient
        orthogonal parametrisation of recurrent neural networks using Householder reflections".
    """

    family = "orthogonal"
    num_gates = 1

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        map: Literal["exp", "cayley", "householder"] = "exp",
        nonlinearity: Literal["modrelu", "tanh"] = "modrelu",
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        self.map = map
        assert self.weight_hh is not None
        threshold = nn.Parameter(torch.zeros(hidden_size)) if nonlinearity == "modrelu" else None
        self.threshold = threshold
        if map == "householder":
            nn.init.normal_(self.weight_hh.detach())
        else:
            _init_turns_(self.weight_hh.detach(), map)

    def recurrent_weight(self) -> Tensor:
        """Map the entries below the diagonal to an orthogonal matrix."""
        assert self.weight_hh is not None
        below = self.weight_hh.tril(-1)
        if self.map == "householder":
            return torch.linalg.householder_product(below, 2 / (1 + below.square().sum(0)))
        skew = below - below.mT
        if self.map == "exp":
            return rotation(skew)
        one = torch.eye(self.hidden_size, dtype=below.dtype, device=below.device)
        return torch.linalg.solve(one - skew / 2, one + skew / 2)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Apply phi to the sum of the two products."""
        del state
        sum_BH = (wx_BGH + rh_BGH).squeeze(-2)
        if self.threshold is None:
            return (torch.tanh(sum_BH),)
        return (torch.sign(sum_BH) * torch.relu(torch.abs(sum_BH) + self.threshold),)


def _init_turns_(free: Tensor, map: Literal["exp", "cayley"]) -> None:
    angle = torch.empty(len(free) // 2).uniform_(-LARGEST_ANGLE[map], LARGEST_ANGLE[map])
    turn = angle if map == "exp" else 2 * torch.tan(angle / 2)
    free.zero_()
    first = torch.arange(len(turn)) * 2
    free[first + 1, first] = turn
