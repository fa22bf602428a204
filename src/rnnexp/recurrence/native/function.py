"""The compiled time loops as one node of the autograd graph."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.inside_torch import (
    graph_is_kept,
    not_compiled,
    saved_tensors_are_hooked,
)
from rnnexp.recurrence.last_alone import last_alone
from rnnexp.recurrence.native.call import Gradients, Weights, run_backward, run_forward
from rnnexp.recurrence.native.kernel import Kernel
from rnnexp.recurrence.native.layout import Layout, layout_of
from rnnexp.recurrence.native.sources import contiguous, nothing, unroll_by, wanted_of
from rnnexp.recurrence.product import require_plain_gradient
from rnnexp.recurrence.trace import Trace
from rnnexp.recurrence.workspace import after_first, buffer, copy_of
from rnnexp.types import State


def unroll_natively(
    kernel: Kernel, cell: PointwiseCell, inputs_TBI: Tensor, state: State, trace: Trace | None
) -> tuple[Tensor, State]:
    """Run a kernel with the weights of its cell.

    Args:
        kernel: the compiled loops.
        cell: the cell that they were made from.
        inputs_TBI: shape (T, ..., B, I).
        state: S tensors of shape (..., B, H).
        trace: is filled with norms of gradients of each step by the backward pass.
    """
    return unroll_by(
        lambda saving, tensors: _Unroll.apply(kernel, saving, trace, *tensors),
        kernel.sources,
        cell,
        inputs_TBI,
        state,
    )


_WEIGHTS = 4
"""Those of `Weights` before the tensors that the parameter-only values are made from."""
_NO_GRADIENTS = (None, None, None)
"""Those of the kernel, the way of saving and the trace."""
_BEFORE = len(_NO_GRADIENTS)


class _Unroll(torch.autograd.Function):
    """All T steps as one node of the graph.

    Its inputs are the kernel, whether to keep what a backward pass needs, the trace, the sequence,
    those of `Weights`, one by one, and the initial state.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kernel: Kernel,
        saving: bool,
        trace: Trace | None,
        inputs_TBI: Tensor,
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        inputs_TBI = inputs_TBI.contiguous()
        first = _WEIGHTS + len(kernel.sources.own_of)
        weights = _weights(contiguous(tensors[:first]))
        state = [s.contiguous() for s in tensors[first:] if s is not None]
        layout = layout_of(
            kernel,
            *inputs_TBI.shape,
            weights.hh.shape[1],
            weights.ih is None,
            saving,
            inputs_TBI.dtype,
            torch.get_num_threads(),
        )
        # Hooks replace what is saved, to take it elsewhere or to drop it: then all is saved that
        # the way back needs. Without them nothing is handed through autograd.
        hooked = saving and saved_tensors_are_hooked()
        memory = buffer(inputs_TBI, (layout.memory,))
        h_TBH, last = run_forward(layout, memory, weights, inputs_TBI, state)
        outputs = after_first(h_TBH)
        if saving:
            ctx.set_materialize_grads(False)
            ctx.layout, ctx.memory, ctx.trace = layout, None if hooked else memory, trace
            kept = (h_TBH, memory) if hooked else (outputs, None)
            ctx.save_for_backward(inputs_TBI, *kept, *weights[:_WEIGHTS], *weights.own)
        return outputs, *last

    @staticmethod
    @not_compiled
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        require_plain_gradient(grads, "native")
        inputs_TBI, weights, h_TBH, memory = _saved_by(ctx)
        layout, trace = ctx.layout, ctx.trace
        h = h_TBH.data_ptr() - _bytes_before(layout, h_TBH)
        wanted = wanted_of(ctx.needs_input_grad[_BEFORE:], len(weights.own))
        traced = trace is not None
        alone = last_alone(trace, grads[0], layout.kernel.states)
        if alone is not None:
            none = nothing(len(weights.own))
            copy = copy_of(memory)
            way = run_backward(layout, copy, weights, inputs_TBI, h, alone, none, traced)
            _note_arriving(trace, way)
        done = run_backward(layout, memory, weights, inputs_TBI, h, grads, wanted, traced)
        _note(trace, done)
        d_x = done.x
        if layout.shape.projected:
            d_x = memory[: layout.gates].clone().view_as(inputs_TBI)
        return (*_NO_GRADIENTS, d_x, *done.of_weights(wanted), *done.state)


def _note(trace: Trace | None, done: Gradients) -> None:
    if trace is not None and done.norms is not None:
        trace.note_norms(done.norms[0])
        trace.note_norms(done.norms[2], "entering_norm_T")


def _note_arriving(trace: Trace, done: Gradients) -> None:
    assert done.norms is not None
    of_h_T, beside_T, _ = done.norms
    trace.note_arriving(torch.hypot(of_h_T, beside_T), tuple(done.state))


def _weights(tensors: Sequence[Any]) -> Weights:
    ih, bias_ih, hh, bias_hh, *own = tensors
    return Weights(ih, bias_ih, hh, bias_hh, tuple(own))


def _saved_by(ctx: Any) -> tuple[Tensor, Weights, Tensor, Tensor]:
    """Give the inputs, the weights, h of all steps or without the first, and the memory."""
    inputs_TBI, h_TBH, numbers, *weights = ctx.saved_tensors
    if numbers is None:
        return inputs_TBI, _weights(weights), h_TBH, _taken_from(ctx)
    # What hooks give is theirs: they may give it again, and lay it out as they like.
    ready = _weights(contiguous(weights))
    return inputs_TBI.contiguous(), ready, h_TBH.contiguous(), copy_of(numbers)


def _bytes_before(layout: Layout, h_TBH: Tensor) -> int:
    # Where the outputs were saved, h_0 lies right before them.
    if len(h_TBH) > layout.shape.steps:
        return 0
    row = layout.shape.rows * layout.shape.units
    assert h_TBH.storage_offset() >= row, "hooks were set on what a native run had saved already"
    return row * h_TBH.element_size()


def _taken_from(ctx: Any) -> Tensor:
    # The backward pass overwrites what was saved; a graph that is kept may need it again.
    if graph_is_kept():
        return copy_of(ctx.memory)
    memory, ctx.memory = ctx.memory, None
    return memory
