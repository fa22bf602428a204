"""The derivatives of one step with respect to all that goes into it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnexp.types import State

Derivative = Tensor | None
"""None where a result does not depend on an argument at all."""


@dataclass(frozen=True)
class LocalDerivatives:
    """How each new state tensor of an elementwise `update` depends on each of its arguments.

    Being elementwise, one number per element says it all: no Jacobian is a matrix.

    Args:
        by_wx: ds[j]/dwx for each of the S state tensors, shape (..., B, G, H).
        by_rh: ds[j]/drh, the same; the very same tensors where update uses ``wx + rh`` only.
        by_state: ds[j]/ds_{t-1}[k] under ``[j][k]``, shape (..., B, H).
    """

    by_wx: tuple[Derivative, ...]
    by_rh: tuple[Derivative, ...]
    by_state: tuple[tuple[Derivative, ...], ...]

    @property
    def additive(self) -> bool:
        """Whether wx and rh have the same derivatives, as where update uses their sum."""
        return all(_same(wx, rh) for wx, rh in zip(self.by_wx, self.by_rh, strict=True))


def differentiate(
    new_state: State, wx_BGH: Tensor, rh_BGH: Tensor, state: State
) -> LocalDerivatives:
    """Derive an update by autograd, whose graph from the arguments to the new state is kept."""
    rows = [_derivatives(new, (wx_BGH, rh_BGH, *state)) for new in new_state]
    return LocalDerivatives(
        by_wx=tuple(row[0] for row in rows),
        by_rh=tuple(row[1] for row in rows),
        by_state=tuple(row[2:] for row in rows),
    )


def _derivatives(new: Tensor, arguments: tuple[Tensor, ...]) -> tuple[Derivative, ...]:
    if not new.requires_grad:
        return (None,) * len(arguments)
    # Elementwise: the sum over all elements has the derivative of each element at its place.
    ones = new.new_ones(()).expand(new.shape)
    return torch.autograd.grad(new, arguments, ones, retain_graph=True, allow_unused=True)


def _same(a: Derivative, b: Derivative) -> bool:
    if a is None or b is None:
        return a is b
    return a.data_ptr() == b.data_ptr() and a.stride() == b.stride() and a.shape == b.shape
