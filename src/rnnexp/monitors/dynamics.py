"""How the state of a recurrence moves: its norm, its saturation, and how a step stretches it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rnnexp.cells import Cell
from rnnexp.recurrence.generators import generators_kept
from rnnexp.types import State

_EDGE = 0.1
"""A sigmoid below it or above 1 - it has less than 0.36 of its largest slope: it is saturated."""


@dataclass(frozen=True)
class Dynamics:
    """What one sequence shows of a recurrence, for each time step.

    Args:
        state_norm_T: mean over rows of the norm of h_t, the output.
        saturated_T: the share of activations that are saturated, in [0, 1]; NaN where the step
            uses none of those known, or they are not the gates' (`Cell.operators_are_gates`).
        log_growth_T: mean over rows of the logarithm by which step t stretches a direction, of
            the rows of which something is left; NaN where there is none: no state is carried, or
            clocks and past inputs alone, or nothing of the state passes through the step.
        cut_T: the share of rows of which nothing is left, in [0, 1]; NaN where no state is carried.
    """

    state_norm_T: Tensor
    saturated_T: Tensor
    log_growth_T: Tensor
    cut_T: Tensor


def dynamics(cell: Cell, inputs_TBI: Tensor, state: State, seed: int = 0) -> Dynamics:
    """Run a sequence once more, step by step, and look at each step.

        state_norm_T[t]  = mean_B ||h_t||
        saturated_T[t]   = share of activations f in step t with |f'| < 0.36 max |f'|
        log_growth_T[t]  = mean_B log ||J_t' v_t||,   v_{t-1} = J_t' v_t / ||J_t' v_t||
        cut_T[t]         = share of rows with J_t' v_t = 0, where v_{t-1} = v_t; left out of growth

    J_t = ds_t / ds_{t-1} is the Jacobian of the whole state but for clocks and past inputs, the
    cell driven by its inputs. Clocks (`Cell.clock_states`) run as they do: one that counts steps
    has the Jacobian 1, and would hold the growth at 0 however fast all else contracts. Past inputs
    (`LinearCell.reach`) are inputs: a delay line hands them on unchanged until they leave it,
    which would be taken for memory where there is no other. v_T is drawn at random, and
    carried back in time, as the gradient is. Where nothing is cut, the mean of log_growth_T over t
    is the finite-time largest Lyapunov exponent per step: a gradient vanishes where it is below 0
    and explodes where it is above. Of a row that is cut no gradient arrives, whatever the growth
    is elsewhere: its exponent is -inf. The activations are those that the step calls as operators
    of torch: sigmoid (saturated outside 0.1..0.9), tanh (outside -0.8..0.8: the same slopes), and
    relu, hardtanh and hardsigmoid where their slope is 0. One made of other operators, such as
    exp or logsigmoid, is not seen.

    Args:
        cell: any; the weights stay as they are.
        inputs_TBI: what enters the cell, shape (T, B, I).
        state: s_0, S tensors of shape (B, ...).
        seed: of v_T; the global generators are left alone.

    Source: saturation: Karpathy, Johnson, Fei-Fei 2015, section 4.2. Growth with renormalisation:
        Benettin et al. 1980; of driven recurrent networks: Engelken, Wolf, Abbott 2023.
    """
    with torch.inference_mode(False), generators_kept(inputs_TBI):
        before, norm_T = _forward(cell, inputs_TBI, state)
        return Dynamics(norm_T, *_backward(cell, inputs_TBI, before, seed))


def _forward(cell: Cell, inputs_TBI: Tensor, state: State) -> tuple[list[State], Tensor]:
    before: list[State] = []
    norms: list[Tensor] = []
    with torch.no_grad():
        for x_BI in inputs_TBI.unbind(0):
            before.append(state)
            h_BH, state = cell.step(x_BI, state)
            norms.append(_row_norms([h_BH]).mean())
    return before, torch.stack(norms)


def _backward(
    cell: Cell, inputs_TBI: Tensor, before: Sequence[State], seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    direction = _random_direction(_moving(cell, before[0]), seed)
    saturated, growth, cut = list[float](), list[Tensor](), list[Tensor]()
    for x_BI, state in zip(inputs_TBI.flip(0).unbind(0), reversed(before), strict=True):
        old = tuple(s.detach() for s in state)
        leaves = tuple(s.requires_grad_() for s in _moving(cell, old))
        with torch.enable_grad(), _Saturation(len(x_BI)) as seen:
            _, new = cell.step(x_BI.detach(), old)
        saturated.append(seen.share if cell.operators_are_gates else math.nan)
        pulled = _pulled_back(_moving(cell, new), leaves, direction)
        direction, log_B = _stretched(pulled, direction)
        growth.append(log_B[~log_B.isneginf()].nanmean())
        cut.append(log_B.isneginf().float().mean())
    return torch.tensor(saturated[::-1]), torch.stack(growth[::-1]), torch.stack(cut[::-1])


def _moving(cell: Cell, state: State) -> State:
    return tuple(state[i] for i in cell.moving_states(len(state)))


def _pulled_back(new: State, old: State, direction: State) -> State:
    pairs = [(n, v) for n, v in zip(new, direction, strict=True) if n.requires_grad]
    if not pairs:
        return tuple(torch.zeros_like(s) for s in old)
    tensors, weights = zip(*pairs, strict=True)
    return torch.autograd.grad(tensors, old, weights, allow_unused=True, materialize_grads=True)


def _stretched(vectors: State, before: State) -> tuple[State, Tensor]:
    """Normalise each row; where nothing is left of it, the direction before goes on, and the
    logarithm is -inf: it would be that of the smallest number of the type."""
    if not vectors:
        return vectors, torch.empty(0)
    norm_B = _row_norms(vectors)
    tiny = torch.finfo(norm_B.dtype).tiny
    safe_B = norm_B.clamp(min=tiny)
    cut_B = norm_B <= tiny
    pairs = zip(vectors, before, strict=True)
    kept = tuple(torch.where(_like(cut_B, v), old, v / _like(safe_B, v)) for v, old in pairs)
    return kept, torch.where(cut_B, -torch.inf, safe_B.log())


def _random_direction(state: State, seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    drawn = tuple(_normal_like(s, generator) for s in state)
    return _stretched(drawn, drawn)[0] if drawn else drawn


def _normal_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    parts = 2 if tensor.is_complex() else 1
    drawn = torch.randn(parts, *tensor.shape, generator=generator)
    return (drawn[0] if parts == 1 else torch.complex(*drawn)).to(tensor)


def _row_norms(tensors: Sequence[Tensor]) -> Tensor:
    # Of what may be complex: the square of its magnitude.
    squares = [t.flatten(1).abs().square().sum(1) for t in tensors]
    return torch.stack(squares).sum(0).sqrt()


def _like(values_B: Tensor, tensor: Tensor) -> Tensor:
    return values_B.view(-1, *[1] * (tensor.dim() - 1))


def _at_bounds(y: Tensor, args: Sequence[Any]) -> Tensor:
    low, high = [*args[1:], *(-1, 1)[len(args) - 1 :]]
    return (y <= low) | (y >= high)


_aten = torch.ops.aten
_RULES: dict[Any, Callable[[Tensor, Sequence[Any]], Tensor]] = {
    **dict.fromkeys((_aten.sigmoid, _aten.sigmoid_), lambda y, _: (y - 0.5).abs() > 0.5 - _EDGE),
    **dict.fromkeys((_aten.tanh, _aten.tanh_), lambda y, _: y.abs() > 1 - 2 * _EDGE),
    **dict.fromkeys((_aten.relu, _aten.relu_), lambda y, _: y <= 0),
    **dict.fromkeys((_aten.hardtanh, _aten.hardtanh_), _at_bounds),
    **dict.fromkeys((_aten.hardsigmoid, _aten.hardsigmoid_), lambda y, _: (y <= 0) | (y >= 1)),
}
"""By operator: where its result says that it is saturated."""


class _Saturation(TorchDispatchMode):
    """Looks on at the operators of a step.

    Args:
        rows: B; what has no such first axis is no activation, but made of parameters.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows
        self._saturated = self._all = 0

    @property
    def share(self) -> float:
        """The share of activations that were saturated."""
        return self._saturated / self._all if self._all else float("nan")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run an operator, and count if it is an activation."""
        del types
        result = func(*args, **(kwargs or {}))
        rule = _RULES.get(func.overloadpacket)
        if rule is not None and result.shape[:1] == (self._rows,) and result.dim() > 1:
            self._saturated += int(rule(result, args).sum())
            self._all += result.numel()
        return result
