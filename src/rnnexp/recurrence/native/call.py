"""Calls of a kernel's two loops: memory in, memory out, no autograd."""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnexp.recurrence.native.kernel import Kernel
from rnnexp.recurrence.native.layout import Layout, Shape
from rnnexp.recurrence.native.sources import Wanted, contiguous, pointer
from rnnexp.recurrence.workspace import buffer

_SERIES = 3
"""Those of backward.c."""


class Weights(NamedTuple):
    """What a pass multiplies by and adds, all contiguous.

    Args:
        ih: W, shape (G*H, I); None where the inputs are W x + b already.
        bias_ih: b, shape (G*H,).
        hh: R of the gates that have one, the first, shape (recurrent*H, H).
        bias_hh: the bias of R h, if it has one, shape (recurrent*H,).
        own: what the parameter-only values are made from, shape (..., H) each.
    """

    ih: Tensor | None
    bias_ih: Tensor | None
    hh: Tensor
    bias_hh: Tensor | None
    own: tuple[Tensor, ...] = ()


class Gradients(NamedTuple):
    """What the loop backwards found; dL/d(wx) is at the beginning of the memory.

    Args:
        kernel: the compiled loops.
        sums: gradients summed over time and rows, shape (sums, H).
        x: dL/dx, shape (T, B, I).
        ih: dL/dW, shape (I, G, H or more).
        hh: dL/dR, shape (H, recurrent, H or more).
        own: of each tensor that the parameter-only values are made from.
        state: dL/d(initial state).
        norms: at each step of dL/dh_t, of the gradient of the other tensors of the state that
            move, and of that of the output, where asked for.
    """

    kernel: Kernel
    sums: Tensor
    x: Tensor | None
    ih: Tensor | None
    hh: Tensor | None
    own: list[Tensor | None]
    state: list[Tensor]
    norms: Tensor | None

    @property
    def bias_ih(self) -> Tensor:
        """dL/d(b), shape (G*H,)."""
        return self.sums[: self.kernel.gates].flatten()

    @property
    def bias_hh(self) -> Tensor:
        """dL/d(b_r), shape (recurrent*H,)."""
        gates = self.sums[: self.kernel.recurrent].clone()
        for slot, gate in enumerate(self.kernel.differing):
            gates[gate] = self.sums[self.kernel.gates + slot]
        return gates.flatten()

    def of_weights(self, wanted: Wanted) -> tuple[Tensor | None, ...]:
        """Give the gradient of each of the `Weights`; None for those that are not wanted."""
        return (
            self.weight(self.ih),
            self.bias_ih if wanted.bias_ih else None,
            self.weight(self.hh),
            self.bias_hh if wanted.bias_hh else None,
            *self.own,
        )

    def weight(self, grad: Tensor | None) -> Tensor | None:
        """Bring dL/dW or dL/dR into the shape of the weight, (gates*H, I or H)."""
        if grad is None:
            return None
        units, (depth, gates, filled) = self.sums.shape[1], grad.shape
        if units < filled:
            return grad[:, :, :units].permute(1, 2, 0).reshape(gates * units, depth)
        return grad.view(depth, gates * units).t()  # autograd lays it out as the weight is


def run_forward(
    layout: Layout, memory: Tensor, weights: Weights, inputs_TBI: Tensor, state: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Run forward in time; the memory then holds what the way back needs.

    Args:
        layout: of the memory.
        memory: as large as it says.
        weights: all that is multiplied or added.
        inputs_TBI: contiguous.
        state: the initial state, each tensor contiguous.

    Returns:
        h_0..h_T, shape (T + 1, B, H), and the last state.
    """
    shape = layout.shape
    h_TBH = inputs_TBI.new_empty(shape.steps + 1, shape.rows, shape.units)
    last = [torch.empty_like(s) for s in state]
    call, scratch = _call(layout, memory, weights, inputs_TBI, h_TBH.data_ptr())
    call.first[:] = [s.data_ptr() for s in state]
    call.last[:] = [s.data_ptr() for s in last]
    if shape.projected:
        memory[: layout.gates].view_as(inputs_TBI).copy_(inputs_TBI)
    layout.kernel.forward(ctypes.byref(call))
    del scratch
    return h_TBH, last


def run_backward(
    layout: Layout,
    memory: Tensor,
    weights: Weights,
    inputs_TBI: Tensor,
    h: int,
    grads: Sequence[Tensor | None],
    wanted: Wanted,
    traced: bool,
) -> Gradients:
    """Run backward in time.

    Args:
        layout: as in the forward pass.
        memory: as the forward pass left it; overwritten.
        weights: as in the forward pass.
        inputs_TBI: likewise.
        h: where h_0..h_T lie.
        grads: dL/d(outputs), then dL/d(last state); None where there is none.
        wanted: which gradients are asked for.
        traced: whether the norms of gradients at each step are.
    """
    kernel, shape, new_empty = layout.kernel, layout.shape, inputs_TBI.new_empty
    call, scratch = _call(layout, memory, weights, inputs_TBI, h)
    given = contiguous(grads)
    call.grad_out, *call.grad_last[:] = map(pointer, given)
    carry = [new_empty(shape.rows, shape.units) for _ in range(kernel.states)]
    call.carry[:] = [tensor.data_ptr() for tensor in carry]
    x, ih, hh = _room_for_gradients(layout, call, inputs_TBI, wanted)
    pairs = zip(weights.own, wanted.own, strict=True)
    own = [torch.empty_like(tensor) if asked else None for tensor, asked in pairs]
    if own:
        rows = kernel.sources.rows_of(own)
        call.d_own[: len(rows)] = rows
    sums = new_empty(shape.threads, kernel.sums, shape.units)
    squares, norms = _room_for_norms(shape, inputs_TBI) if traced else (None, None)
    call.sums, call.squares, call.norms = sums.data_ptr(), pointer(squares), pointer(norms)
    kernel.backward(ctypes.byref(call))
    del scratch
    return Gradients(kernel, sums[0], x, ih, hh, own, carry, norms)


def _room_for_norms(shape: Shape, like: Tensor) -> tuple[Tensor, Tensor]:
    squares = torch.empty(shape.threads, _SERIES, shape.steps, dtype=torch.float64)
    return squares, like.new_empty(_SERIES, shape.steps)


def _call(
    layout: Layout, memory: Tensor, weights: Weights, inputs_TBI: Tensor, h: int
) -> tuple[Any, Tensor]:
    """Fill what both loops need of the structure `Call`, and take their scratch memory."""
    call = layout.new_call()
    begin = memory.data_ptr()
    call.gates, call.extra = begin, begin + layout.extra_at
    call.states[:] = [h, *(begin + place for place in layout.states_at)]
    scratch = buffer(memory, (layout.scratch,))
    room = scratch.data_ptr()
    call.packed_hh, call.packed_ih = room, room + layout.packed_ih_at
    if weights.ih is not None:
        call.x, call.weight_ih = inputs_TBI.data_ptr(), weights.ih.data_ptr()
        call.bias_ih = pointer(weights.bias_ih)
    call.weight_hh, call.bias_hh = weights.hh.data_ptr(), pointer(weights.bias_hh)
    if weights.own:
        rows = layout.kernel.sources.rows_of(weights.own)
        call.own[: len(rows)] = rows
        call.theta = room + layout.theta_at
    return call, scratch


def _room_for_gradients(
    layout: Layout, call: Any, inputs_TBI: Tensor, wanted: Wanted
) -> tuple[Tensor | None, ...]:
    """Take room for the gradients of the two products, and point to it."""
    shape, gates = layout.shape, layout.kernel.gates
    x = torch.empty_like(inputs_TBI) if wanted.x and not shape.projected else None
    new_zeros = inputs_TBI.new_zeros
    ih = new_zeros(shape.inputs, gates, layout.filled) if wanted.ih else None
    hh = new_zeros(shape.units, layout.kernel.recurrent, layout.filled) if wanted.hh else None
    call.d_x, call.d_weight_ih, call.d_weight_hh = pointer(x), pointer(ih), pointer(hh)
    return x, ih, hh
