"""The contract of a cell, promise by promise: no jumps, which have no gradient.

Rounding has a gradient of zero, and so have its finite differences nearly everywhere. So a step is
taken at points along lines, close to each other: what it changes from the first to the last is the
integral of its gradient, unless there are jumps between.
"""

import torch
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.testing.batch_checks import keep_rows_apart
from rnnexp.testing.calls import calls_of
from rnnexp.testing.checks import BrokenError, Check, DoesNotApplyError
from rnnexp.testing.subject import (
    CellSubject,
    I,
    as_leaf,
    flat,
    gradients,
    is_derived,
    random_state,
)
from rnnexp.types import State

_LINES, _POINTS = 8, 512
_REACH = 3.0
"""Scale of the inputs at the ends of a line."""
_LEAST = 0.1
"""Of all change, as much is no jump: kinks and bends between two points, the step of a modReLU."""
_ROUNDS_OFF = frozenset(
    ("ceil", "floor", "floor_divide", "fmod", "frac", "heaviside", "remainder", "round", "trunc")
)
_TAKES_SIGNS = frozenset(("sgn", "sign", "signbit"))
_COMPARES = frozenset(("argmax", "argmin", "eq", "ge", "gt", "le", "lt", "ne", "topk"))


def check_jumps(subject: CellSubject) -> None:
    """The changes of a step along lines of inputs and states are those that its gradient says."""
    cell = subject.make(moved=0.0)
    if cell.surrogate_gradient:
        raise DoesNotApplyError("its gradient is a surrogate, as surrogate_gradient says")
    missed = _share_missed(cell)
    if missed > _LEAST:
        keep_rows_apart(subject)  # else the sum over rows has other gradients
        raise BrokenError(
            "a step that changes as its gradient says",
            f"{missed:.0%} of its change without a gradient",
            f"{_cause(cell, subject)} Nothing is learned through a jump: use a smooth function, "
            "or, where it is meant, as of a spike, give it a surrogate gradient and state "
            f"surrogate_gradient = True in the class. Look at {subject.place}.",
        )


def _cause(cell: Cell, subject: CellSubject) -> str:
    calls = calls_of(cell, subject)
    for names in (_ROUNDS_OFF, _TAKES_SIGNS, _COMPARES):  # the likely one first
        for name, line in calls:
            if name in names:
                return f"Is it `{name}` at {subject.entry.file}:{line}?"
    return "Does it round, compare, branch or detach?"


def _share_missed(cell: Cell) -> float:
    first, ends = _ends(cell), _ends(cell)
    clocks = {1 + i for i in cell.clock_states}  # between two counts there is none
    pairs = enumerate(zip(first, ends, strict=True))
    last = tuple(a if i in clocks else b for i, (a, b) in pairs)
    points = tuple(as_leaf(_divided(a, b)) for a, b in zip(first, last, strict=True))
    values_LPK = _numbers(flat(cell.step(points[0], points[1:])))
    scale_K = values_LPK.detach().std((0, 1)).clamp(min=1e-9)
    mixed_LP = values_LPK @ (torch.randn_like(scale_K) / scale_K)
    slope_LP = _slope(mixed_LP, points, first, last)
    change_LP = mixed_LP.detach().diff(dim=1)
    foretold_LP = (slope_LP[:, 1:] + slope_LP[:, :-1]) / 2 / (_POINTS - 1)
    return float((change_LP - foretold_LP).abs().sum() / change_LP.abs().sum())


def _slope(mixed_LP: Tensor, points: State, first: State, last: State) -> Tensor:
    slope_LP = torch.zeros_like(mixed_LP, requires_grad=False)
    if not mixed_LP.requires_grad:
        return slope_LP
    moved = [i for i, point in enumerate(points) if point.requires_grad]
    grads = gradients(mixed_LP.sum(), [points[i] for i in moved])
    for i, grad in zip(moved, grads, strict=True):
        along = (last[i] - first[i]).unsqueeze(1) * grad.conj()
        slope_LP += along.real.flatten(2).sum(-1)
    return slope_LP


def _ends(cell: Cell) -> State:
    x_LI = _REACH * torch.randn(_LINES, I, dtype=torch.float64)
    return x_LI, *random_state(cell, (_LINES,))


def _divided(first: Tensor, last: Tensor) -> Tensor:
    if not is_derived(first):
        return first.unsqueeze(1).expand(-1, _POINTS, *first.shape[1:])
    share_P = torch.linspace(0, 1, _POINTS, dtype=torch.float64)
    share = share_P.reshape(1, -1, *[1] * (first.dim() - 1))
    return first.unsqueeze(1) + share * (last - first).unsqueeze(1)


def _numbers(tensors: list[Tensor]) -> Tensor:
    real = [torch.view_as_real(t) if t.is_complex() else t for t in filter(is_derived, tensors)]
    return torch.cat([t.flatten(2) for t in real], -1)


JUMP_CHECKS: tuple[Check[CellSubject], ...] = (
    Check("jumps", "a step changes as its gradient says: no jumps", check_jumps),
)
