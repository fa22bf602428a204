"""Initial values of weights and biases."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from rnnexp.cells.limits import require

RecurrentInit = Literal["orthogonal", "identity", "uniform", "zeros"]


def init_recurrent_(weight_GHxH: Tensor, how: RecurrentInit) -> None:
    """Fill a stack of square recurrent matrices in place, each gate's block on its own.

    Args:
        weight_GHxH: the matrices of all gates, one below the other, shape (G*H, H).
        how: ``orthogonal`` and ``identity`` keep the norm of h at first; ``uniform`` is torch's
            default, U(-1/sqrt(H), 1/sqrt(H)).
    """
    hidden = weight_GHxH.shape[1]
    for block in weight_GHxH.detach().split(hidden):
        if how == "orthogonal":
            nn.init.orthogonal_(block)
        elif how == "identity":
            nn.init.eye_(block)
        elif how == "uniform":
            nn.init.uniform_(block, -(hidden**-0.5), hidden**-0.5)
        else:
            nn.init.zeros_(block)


def square(hidden: int, blocks: int = 1, how: RecurrentInit = "orthogonal") -> nn.Parameter:
    """Make a stack of trainable square matrices, shape (blocks*H, H); see `init_recurrent_`."""
    weight_GHxH = nn.Parameter(torch.empty(blocks * hidden, hidden))
    init_recurrent_(weight_GHxH, how)
    return weight_GHxH


def init_input_(weight_GHxI: Tensor, hidden: int) -> None:
    """Fill the input weights in place, Xavier-uniform for each gate's block on its own."""
    for block in weight_GHxI.detach().split(hidden):
        nn.init.xavier_uniform_(block)


def uniform(*shape: int, low: float = -1.0, high: float = 1.0) -> nn.Parameter:
    """Make a trainable tensor of numbers between two bounds."""
    return nn.Parameter(torch.empty(shape).uniform_(low, high))


def filled(size: int, value: float) -> nn.Parameter:
    """Make a trainable vector of one value."""
    return nn.Parameter(torch.full((size,), float(value)))


def chrono_bias(size: int, longest: float) -> Tensor:
    """Draw biases for gates that keep the past, so that units remember for 2 to T_max steps.

        b = log u,   u ~ U(1, T_max - 1)        sigmoid(b) = 1 - 1 / (u + 1)

    Args:
        size: how many units.
        longest: T_max, the value of ``cell.chrono``.

    Raises:
        ConfigError: T_max is below 2, or not finite.

    Source: Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", arXiv:1804.11188.
    """
    require(2 <= longest < math.inf, "chrono", "null or a number of steps from 2", longest)
    return torch.empty(size).uniform_(1.0, longest - 1.0).log_()


def fill_keeping_(
    keeps_H: Tensor, forget_bias: float, chrono: float | None, writes_H: Tensor | None = None
) -> None:
    """Fill the bias of a gate that keeps the past, in place: with a number, or see `chrono_bias`.

    Args:
        keeps_H: the bias of f.
        forget_bias: the number, where chrono is None.
        chrono: T_max.
        writes_H: the bias of i, where that is a gate of its own; chrono makes it that of f negated.

    Raises:
        ConfigError: both are given; T_max makes no sense.
    """
    keeps_H.fill_(forget_bias)
    if chrono is None:
        return
    unused = "left at 1 under cell.chrono, which sets the bias"
    require(forget_bias == 1.0, "forget_bias", unused, forget_bias)
    keeps_H.copy_(chrono_bias(len(keeps_H), chrono))
    if writes_H is not None:
        writes_H.copy_(-keeps_H)


def antisymmetric(weight_HxH: Tensor, damping: float) -> Tensor:
    """Make ``R - R' - damping I``, whose eigenvalues all have the real part -damping."""
    eye_HxH = torch.eye(len(weight_HxH), dtype=weight_HxH.dtype, device=weight_HxH.device)
    return weight_HxH - weight_HxH.mT - damping * eye_HxH


def input_weight(gates: int, hidden: int, inputs: int) -> nn.Parameter:
    """Make input weights of shape (G*H, I), as `init_input_` fills them."""
    weight = nn.Parameter(torch.empty(gates * hidden, inputs))
    init_input_(weight, hidden)
    return weight


def gates_of(x_BI: Tensor, weight_GHxI: Tensor, bias_GH: Tensor | None, gates: int) -> Tensor:
    """Compute ``W x + b`` of all gates, shape (..., B, G, H)."""
    return nn.functional.linear(x_BI, weight_GHxI, bias_GH).unflatten(-1, (gates, -1))
