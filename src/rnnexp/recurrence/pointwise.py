"""A fast forward and backward pass for any `PointwiseCell`, derived from its `update` alone.

    forward    rh_t = R h_{t-1};  s_t = update(wx_t, rh_t, s_{t-1})               for t = 1..T
    backward   dL/drh_t    = sum_j dL/ds_t[j] * ds_t[j]/drh_t                     for t = T..1
               dL/ds_{t-1} = sum_j dL/ds_t[j] * ds_t[j]/ds_{t-1}  (+ dL/drh_t R   for h)

The loops carry the state alone. What does not depend on other steps is computed for many steps
at once: the products with W, the derivatives of each step, dL/dwx and dL/dR.
"""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell, has_own_step
from rnnexp.errors import ConfigError
from rnnexp.recurrence.check import NOT_EXAMINED, OWN_STEP, Remembered, agrees, held_by
from rnnexp.recurrence.elementwise import reason_against_update
from rnnexp.recurrence.inside_torch import not_compiled, parametrized_anew, what_traces
from rnnexp.recurrence.last_alone import last_alone
from rnnexp.recurrence.product import gram, linear, require_plain_gradient
from rnnexp.recurrence.roll import formula_of, roll
from rnnexp.recurrence.stand_in import apart, frozen, update_of, without_hooks
from rnnexp.recurrence.sweep import Gradients, Sweep, Tape
from rnnexp.recurrence.trace import Trace, norms_of
from rnnexp.recurrence.workspace import after_first
from rnnexp.types import State


def run_pointwise(
    cell: Cell, inputs_TBI: Tensor, state: State, trace: Trace | None = None
) -> tuple[Tensor, State]:
    """Run a cell by loops of its own, without autograd's record of each operation."""
    assert isinstance(cell, PointwiseCell)
    lead = inputs_TBI.shape[1:-1]
    wx_TBGH = _project(cell, inputs_TBI)
    wx_TBGH = wx_TBGH.reshape(wx_TBGH.shape[0], prod(lead), *wx_TBGH.shape[-2:])
    # Under autocast the input product is of low precision; the state keeps that of the weights.
    wx_TBGH = wx_TBGH.to(cell.weight_ih.dtype)
    flat = tuple(s.reshape(prod(lead), s.shape[-1]) for s in state)
    with torch.autocast(wx_TBGH.device.type, enabled=False):
        outputs_TBH, *last = _run(cell, trace, wx_TBGH, flat)
    restored = tuple(s.reshape(*lead, s.shape[-1]) for s in last)
    return outputs_TBH.reshape(len(outputs_TBH), *lead, outputs_TBH.shape[-1]), restored


def reason_against(cell: Cell) -> str | None:
    """Say why a cell cannot run in loops of this backend's; None if it can."""
    if not isinstance(cell, PointwiseCell):
        return "it is no PointwiseCell, from whose update the passes could be derived."
    if has_own_step(cell):
        return OWN_STEP
    if type(cell).project_recurrent is not PointwiseCell.project_recurrent:
        return "its recurrent product is its own (project_recurrent), which may be no matrix's."
    # Asked first: what is found out of a cell while it is traced is not so afterwards.
    tracing = what_traces(cell.weight_ih)
    if tracing is not None:
        return f"{tracing} cannot look into its loops."
    if cell.weight_ih.is_inference():
        return NOT_EXAMINED
    return _reasons.of(cell)


def _reason_found(cell: PointwiseCell) -> str | None:
    if any(tensor.is_complex() for tensor in (*cell.parameters(), *cell.buffers())):
        return "it has complex weights, and derivatives are taken of real numbers here."
    try:
        double = _in_double(cell)
    except Exception as error:  # whatever it holds
        return f"to try it on a copy ended in {type(error).__name__}: {error}."
    try:
        mixing = reason_against_update(double)
        if mixing is not None:
            return f"its update is no plain elementwise function of (B, H): {mixing}."
        if agrees(partial(run_pointwise, double), double):
            return None
    except (RuntimeError, NotImplementedError) as error:
        if formula_of(cell) is not None:  # whose author knows what an elementwise update is
            words = str(error).partition("\n")[0]
            return f"to try it ended in {type(error).__name__}: {words}"
        # Else the loop says better what is wrong, if it is.
    if formula_of(cell) is not None:
        return "its formula gives other values or gradients than its update."
    return (
        "its update is no plain elementwise function of (B, H); does it mix units or rows, "
        "draw random numbers, or use an autograd Function of its own?"
    )


def _in_double(cell: PointwiseCell) -> PointwiseCell:
    # In double precision, wherever and in whatever type the cell computes.
    return apart(cell).to("cpu", torch.float64)


_reasons = Remembered(_reason_found, lasting=lambda reason: reason is None)
"""Why a cell does not keep its promise; None where it does."""


def _project(cell: PointwiseCell, inputs_TBI: Tensor) -> Tensor:
    if type(cell).project_input is not PointwiseCell.project_input:
        return cell.project_input(inputs_TBI)
    flat = linear(inputs_TBI, cell.weight_ih, cell.bias_ih)
    return flat.unflatten(-1, (cell.num_gates, cell.hidden_size))


def _run(cell: PointwiseCell, trace: Trace | None, wx_TBGH: Tensor, state: State) -> State:
    weight_hh = cell.recurrent_weight()
    arguments = (wx_TBGH, weight_hh, cell.bias_hh, *state, *cell.parameters())
    if torch.is_grad_enabled() and any(a is not None and a.requires_grad for a in arguments):
        return _Recurrence.apply(cell, trace, *arguments)
    columns = roll(cell, weight_hh, wx_TBGH, state, saving=False).states
    return _given(columns)


def _given(columns: State) -> State:
    """Take the outputs and the last state from s_0..s_T of each tensor."""
    # The last state is copied, so that to keep it is not to keep all states.
    return (after_first(columns[0]), *(column[-1].clone() for column in columns))


class _Recurrence(torch.autograd.Function):
    """All T steps as one operation of autograd's.

    Its arguments are the cell, the trace, wx, R, b_r, the S initial states, and all parameters of
    the cell, any of which `update` may use.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: PointwiseCell,
        trace: Trace | None,
        wx_TBGH: Tensor,
        weight_hh: Tensor,
        bias_hh: Tensor | None,
        *rest: Tensor,
    ) -> State:
        """Compute the outputs and the last state, and keep what the way back needs."""
        del bias_hh
        state = rest[: cell.num_states]
        with parametrized_anew():  # what is computed in here has no graph, and others ask for it
            columns, left_TBGH, formula = roll(cell, weight_hh, wx_TBGH, state, saving=True)
        # A formula has all that is needed of wx in what it has left.
        kept = wx_TBGH if formula is None else None
        outputs_TBH, *last = _given(columns)
        parameters = rest[cell.num_states :]
        ctx.save_for_backward(outputs_TBH, kept, left_TBGH, weight_hh, *columns, *parameters)
        if trace is not None:
            trace.note_states(tuple(column[:-1] for column in columns))
        ctx.set_materialize_grads(False)
        # The backward pass calls update again: as it was, if no formula says the same.
        ctx.cell = cell = frozen(cell) if formula is None else cell
        ctx.held = held_by(cell)
        ctx.trace, ctx.formula = trace, formula
        return outputs_TBH, *last

    @staticmethod
    @not_compiled
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Compute the gradient of each argument from those of the outputs and the last state."""
        require_plain_gradient(grads)
        _, wx_TBGH, left_TBGH, weight_hh, *rest = ctx.saved_tensors
        columns, parameters = rest[: ctx.cell.num_states], rest[ctx.cell.num_states :]
        # Autograd derives here what update itself uses; hooks are called for what is returned.
        parameters = without_hooks(parameters)
        if ctx.formula is None:
            _check_held(ctx.cell, ctx.held)
        update = update_of(ctx.cell, parameters, tuple(ctx.cell.buffers()))
        tape = Tape(wx_TBGH, left_TBGH, tuple(columns), weight_hh, update, ctx.formula)
        alone = last_alone(ctx.trace, grads[0], ctx.cell.num_states)
        with parametrized_anew():
            if alone is not None:
                _note_arriving(ctx.trace, ctx.cell, Sweep(tape, alone[0], alone[1:], True).run(()))
            found = Sweep(tape, grads[0], grads[1:]).run(parameters)
        if ctx.trace is not None:
            ctx.trace.note_all(found.states[0][1:])
            if grads[0] is not None:
                ctx.trace.note_entering(grads[0])
        return (None, None, *_returned(tape, found, ctx.needs_input_grad[2:]))


def _check_held(cell: PointwiseCell, then: Sequence[object]) -> None:
    if held_by(cell) != then:
        raise ConfigError(
            f"a list, a dict or an object that {type(cell).__name__} holds was changed between the "
            "forward and the backward pass, and unroll.backend=pointwise derives its update in the "
            "latter. Change it after backward(), or use unroll.backend=loop."
        )


def _note_arriving(trace: Trace, cell: PointwiseCell, found: Gradients) -> None:
    moving = cell.moving_states(cell.num_states)
    after = (found.states[0][1:], *found.beside)
    first = tuple(grad[0].clone() for grad in found.states)
    trace.note_arriving(norms_of([after[i] for i in moving]), first)


def _returned(tape: Tape, found: Gradients, needed: tuple[bool, ...]) -> tuple[Tensor | None, ...]:
    drh = tape.products_of(found.rh_TBGH).flatten(0, 1)
    before = tape.states[0][:-1].flatten(0, 1)
    weight = gram(drh, before) if needed[1] else None
    bias = drh.sum(0) if needed[2] else None
    # Copied, so that to keep one is not to keep the gradients of all steps.
    first = tuple(grad[0].clone() for grad in found.states)
    return (found.wx_TBGH, weight, bias, *first, *found.own)
