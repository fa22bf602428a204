"""The way of the gradient back through time, from the derivatives of each step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnexp.cells import Formula
from rnnexp.recurrence.derivatives import Derivative, LocalDerivatives, differentiate
from rnnexp.recurrence.product import product_with
from rnnexp.recurrence.roll import by_step
from rnnexp.recurrence.stand_in import Update
from rnnexp.recurrence.workspace import buffer
from rnnexp.types import State

# Elements of wx in a span of time steps: its derivatives stay in the cache until they are used.
_SPAN = 1 << 17

Terms = list[tuple[int, tuple[Tensor, ...]]]
"""For each state tensor j that counts: j, and the derivative of s_t[j] for each step t."""

_Found = list[Tensor | None]
"""The gradient of each parameter, so far."""


@dataclass(frozen=True)
class Tape:
    """What the forward pass leaves for the backward pass.

    Args:
        wx_TBGH: the products with the inputs; None where a formula goes back without them.
        left_TBGH: the products with the states, or what the formula has left.
        states: s_0..s_T of each state tensor, shape (T + 1, B, H).
        weight_hh: R of the gates that have one, the first; shape (recurrent*H, H).
        update: the cell's, with the tensors of that time.
        formula: the cell's, where it made the states.
    """

    wx_TBGH: Tensor | None
    left_TBGH: Tensor
    states: tuple[Tensor, ...]
    weight_hh: Tensor
    update: Update
    formula: Formula | None

    @property
    def steps(self) -> int:
        """T."""
        return len(self.left_TBGH)

    def products_of(self, rh_TBGH: Tensor) -> Tensor:
        """View what of (T, B, G, H) belongs to gates with an R, shape (T, B, recurrent*H)."""
        return rh_TBGH.flatten(2)[..., : len(self.weight_hh)]


@dataclass(frozen=True)
class Gradients:
    """What the sweep has found.

    Args:
        states: dL/ds_0..dL/ds_T of each state tensor, shape (T + 1, B, H).
        wx_TBGH: dL/dwx of all steps.
        rh_TBGH: dL/drh of all steps.
        own: dL/dp of each parameter that `update` uses; None for the others.
        beside: dL/ds_1..dL/ds_T of all state tensors but h.
    """

    states: tuple[Tensor, ...]
    wx_TBGH: Tensor
    rh_TBGH: Tensor
    own: tuple[Tensor | None, ...]
    beside: tuple[Tensor, ...]


class Sweep:
    """One passage from the last step to the first.

    Args:
        tape: of the forward pass.
        grad_outputs_TBH: what the loss says of each output; None for nothing.
        grad_last: what it says of each tensor of the last state; None for nothing.
        traced: whether those of all state tensors are asked for; a formula changes some.
    """

    def __init__(
        self,
        tape: Tape,
        grad_outputs_TBH: Tensor | None,
        grad_last: Sequence[Tensor | None],
        traced: bool = False,
    ) -> None:
        self.tape = tape
        self.states = tuple(buffer(s, s.shape) for s in tape.states)
        beside = tuple(grad[1:] for grad in self.states[1:])
        copied = traced and tape.formula is not None
        self._beside = tuple(map(torch.empty_like, beside)) if copied else beside
        self._changed = list(zip(self._beside, beside, strict=True)) if copied else []
        self.rh_TBGH = buffer(tape.left_TBGH, tape.left_TBGH.shape)
        self.wx_TBGH = self.rh_TBGH
        with torch.inference_mode():
            self._outputs = None if grad_outputs_TBH is None else grad_outputs_TBH.unbind(0)
            self._at = by_step(self.states if tape.formula is None else self.states[:1])
            self._over_gates = by_step([grad.unsqueeze(-2) for grad in self.states])
            self._rh = self.rh_TBGH.unbind(0)
            self._products = tape.products_of(self.rh_TBGH).unbind(0)
        self._begin(grad_last)
        self._back = product_with(tape.weight_hh.t(), tape.left_TBGH.shape[1])

    def run(self, own: Sequence[Tensor]) -> Gradients:
        """Go back through time.

        Args:
            own: the parameters that `update` may use.
        """
        found: _Found = [None] * len(own)
        for begin, end in _spans(self.tape):
            if self.tape.formula is not None:
                with torch.inference_mode():
                    self._flow_by_formula(self.tape.formula, begin, end)
            else:
                self._go_by_update(begin, end, found, own)
        return Gradients(self.states, self.wx_TBGH, self.rh_TBGH, tuple(found), self._beside)

    def _go_by_update(self, begin: int, end: int, found: _Found, own: Sequence[Tensor]) -> None:
        new_state, local = self._local(begin, end)
        with torch.inference_mode():
            self._flow(begin, end, local)
        self._add_wx(begin, end, local)
        self._add_own(found, own, new_state, begin)

    def _begin(self, grad_last: Sequence[Tensor | None]) -> None:
        for grad, last in zip(self.states, grad_last, strict=True):
            _ = grad[-1].zero_() if last is None else grad[-1].copy_(last)
        if self._outputs is not None:
            self.states[0][-1] += self._outputs[-1]

    def _local(self, begin: int, end: int) -> tuple[State, LocalDerivatives]:
        tape = self.tape
        assert tape.wx_TBGH is not None
        state = tuple(s[begin:end] for s in tape.states)
        arguments = (tape.wx_TBGH[begin:end], tape.left_TBGH[begin:end], *state)
        with torch.enable_grad():
            wx, rh, *rest = (_leaf(argument) for argument in arguments)
            state = tuple(rest)
            new_state = tape.update(wx, rh, state)
            return new_state, differentiate(new_state, wx, rh, state)

    def _flow_by_formula(self, formula: Formula, begin: int, end: int) -> None:
        states, left_TBGH = self.tape.states, self.tape.left_TBGH
        state = tuple(s[begin:end] for s in states)
        new_state = tuple(s[begin + 1 : end + 1] for s in states)
        local = by_step(formula.derive(left_TBGH[begin:end], state, new_state))
        for t in reversed(range(begin, end)):
            for kept_TBH, grad_TBH in self._changed:
                kept_TBH[t].copy_(grad_TBH[t])
            new, old = self._over_gates[t + 1], self._over_gates[t]
            beside = formula.back(local[t - begin], new, self._rh[t], old)
            self._back(self._products[t], self._output(t - 1), self._at[t][0])
            if beside is not None:
                old[0].add_(beside)

    def _flow(self, begin: int, end: int, local: LocalDerivatives) -> None:
        by_rh = _terms(local.by_rh)
        by_state = [_terms(column) for column in zip(*local.by_state, strict=True)]
        for t in reversed(range(begin, end)):
            new, old, i = self._at[t + 1], self._at[t], t - begin
            _weigh(by_rh, self._over_gates[t + 1], i, self._rh[t])
            for terms, grad in zip(by_state[1:], old[1:], strict=True):
                _weigh(terms, new, i, grad)
            self._back(self._products[t], self._output(t - 1), old[0])
            for j, derivative in by_state[0]:
                old[0].addcmul_(new[j], derivative[i])

    def _output(self, t: int) -> Tensor | None:
        return None if self._outputs is None or t < 0 else self._outputs[t]

    def _add_wx(self, begin: int, end: int, local: LocalDerivatives) -> None:
        if local.additive:
            return
        if self.wx_TBGH is self.rh_TBGH:
            self.wx_TBGH = torch.zeros_like(self.rh_TBGH)
        for grad, derivative in zip(self.states, local.by_wx, strict=True):
            if derivative is not None:
                over_gates = grad[begin + 1 : end + 1].unsqueeze(-2)
                self.wx_TBGH[begin:end].addcmul_(over_gates, derivative)

    def _add_own(self, found: _Found, own: Sequence[Tensor], new_state: State, begin: int) -> None:
        end = begin + len(new_state[0])
        trained = [i for i, parameter in enumerate(own) if parameter.requires_grad]
        pairs = [
            (new, grad[begin + 1 : end + 1])
            for new, grad in zip(new_state, self.states, strict=True)
            if new.requires_grad
        ]
        if not trained or not pairs:
            return
        new, grads = zip(*pairs, strict=True)
        parts = torch.autograd.grad(new, [own[i] for i in trained], grads, allow_unused=True)
        for i, part in zip(trained, parts, strict=True):
            found[i] = part if found[i] is None else _plus(found[i], part)


def _spans(tape: Tape) -> Iterator[tuple[int, int]]:
    per_step = max(tape.left_TBGH[0].numel(), 1)
    length = max(_SPAN // per_step, 1)
    for end in range(tape.steps, 0, -length):
        yield max(end - length, 0), end


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a + b if a is not None and b is not None else a


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _terms(derivatives: Sequence[Derivative]) -> Terms:
    return [(j, d.unbind(0)) for j, d in enumerate(derivatives) if d is not None]


def _weigh(terms: Terms, grads: Sequence[Tensor], i: int, out: Tensor) -> None:
    """Write sum_j grads[j] * derivative[j] of step i."""
    if not terms:
        out.zero_()
        return
    j, derivative = terms[0]
    torch.mul(grads[j], derivative[i], out=out)
    for j, derivative in terms[1:]:
        out.addcmul_(grads[j], derivative[i])
