"""Calls of the two loops of a GPU kernel: memory in, memory out, no autograd."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from rnnexp.recurrence.native.cuda.geometry import Geometry
from rnnexp.recurrence.native.cuda.kernel import GpuKernel
from rnnexp.recurrence.native.cuda.program import Program, load_program


@dataclass(frozen=True, eq=False)
class Plan:
    """A kernel made ready for a number of rows on one GPU.

    Args:
        kernel: the source and its sizes.
        geometry: who computes what.
        program: the compiled loops.
    """

    kernel: GpuKernel
    geometry: Geometry
    program: Program

    def clusters(self, rows: int) -> int:
        """Count the clusters that all rows need."""
        return -(-rows // self.geometry.rows)


def plan_of(kernel: GpuKernel, rows: int, device: int) -> Plan:
    """Compile a kernel for a number of rows.

    Raises:
        UnsupportedError: R does not fit into the registers of this GPU.
        BuildError: it cannot be compiled.
    """
    geometry = kernel.geometry(rows, device)
    source = geometry.defines() + kernel.source
    return Plan(kernel, geometry, load_program(source, device, geometry.cluster, geometry.threads))


class Inputs(NamedTuple):
    """What both passes read, all contiguous.

    Args:
        wx_TBGH: W x + b.
        weight_hh: R, shape (recurrent*H, H).
        bias_hh: the bias of R h, if it has one.
        own: what the parameter-only values are made from.
        first: the initial state.
    """

    wx_TBGH: Tensor
    weight_hh: Tensor
    bias_hh: Tensor | None
    own: tuple[Tensor, ...]
    first: tuple[Tensor, ...]


class Record(NamedTuple):
    """What the forward pass leaves.

    Args:
        states: s_0..s_T of each state, shape (T + 1, B, H); of others than h only where `saving`.
        last: s_T of each.
        saved: (T, B, saves, H); None where no backward pass follows.
    """

    states: tuple[Tensor | None, ...]
    last: tuple[Tensor, ...]
    saved: Tensor | None


class GpuGradients(NamedTuple):
    """What the loop backwards finds.

    Args:
        wx_TBGH: dL/d(W x).
        rh: dL/d(R h), shape (T, B, recurrent*H).
        h_TBH: dL/dh_t, where it was asked for.
        first: dL/d(initial state).
        own_BOH: of each row of parameters, still for each row of the batch.
    """

    wx_TBGH: Tensor
    rh: Tensor
    h_TBH: Tensor | None
    first: tuple[Tensor, ...]
    own_BOH: Tensor


def run_forward(plan: Plan, given: Inputs, saving: bool) -> Record:
    """Run forward in time.

    Args:
        plan: for this number of rows.
        given: all that is multiplied or added.
        saving: whether a backward pass follows.
    """
    kernel, wx = plan.kernel, given.wx_TBGH
    steps, rows, _, units = wx.shape
    column = (steps + 1, rows, units)
    states = tuple(wx.new_empty(column) if saving or not i else None for i in range(kernel.states))
    last = tuple(wx.new_empty(rows, units) for _ in states)
    saved = wx.new_empty(steps, rows, kernel.saves, units) if saving else None
    call = _call(plan, given)
    call.states[:] = [_pointer(s) for s in states]
    call.last[:] = [_pointer(s) for s in last]
    call.saved = _pointer(saved)
    plan.program.forward(call, plan.clusters(rows))
    return Record(states, last, saved)


def run_backward(
    plan: Plan,
    given: Inputs,
    states: Sequence[Tensor],
    saved: Tensor,
    grads: Sequence[Tensor | None],
    traced: bool,
) -> GpuGradients:
    """Run backward in time.

    Args:
        plan: as in the forward pass.
        given: likewise.
        states: s_0..s_T of each state.
        saved: what the forward pass left.
        grads: dL/d(outputs), then dL/d(last state); None where there is none.
        traced: whether dL/dh_t is asked for.
    """
    kernel, wx = plan.kernel, given.wx_TBGH
    steps, rows, _, units = wx.shape
    ready = [None if grad is None else grad.contiguous() for grad in grads]
    d_wx = wx.new_empty(wx.shape)
    d_rh = wx.new_empty(steps, rows, kernel.recurrent, units) if kernel.differs else None
    d_h = wx.new_empty(steps, rows, units) if traced else None
    first = tuple(wx.new_empty(rows, units) for _ in states)
    own_BOH = wx.new_empty(rows, kernel.own, units)
    call = _call(plan, given)
    call.states[:] = [_pointer(s) for s in states]
    call.saved = _pointer(saved)
    call.grad_out, *call.grad_last[:] = map(_pointer, ready)
    call.d_wx, call.d_rh, call.d_h = _pointer(d_wx), _pointer(d_rh), _pointer(d_h)
    call.d_first[:] = [_pointer(s) for s in first]
    call.d_own = _pointer(own_BOH)
    plan.program.backward(call, plan.clusters(rows))
    rh = (d_wx if d_rh is None else d_rh).flatten(2)[..., : kernel.recurrent * units]
    return GpuGradients(d_wx, rh, d_h, first, own_BOH)


def _call(plan: Plan, given: Inputs) -> Any:
    """Fill what both loops need of the structure `Call`."""
    call = plan.kernel.call_type()
    call.steps, call.rows = given.wx_TBGH.shape[:2]
    call.wx, call.weight_hh = _pointer(given.wx_TBGH), _pointer(given.weight_hh)
    call.bias_hh = _pointer(given.bias_hh)
    call.first[:] = [_pointer(s) for s in given.first]
    rows = _rows_of(plan.kernel, given.own)
    call.own[: len(rows)] = rows
    return call


def _rows_of(kernel: GpuKernel, own: Sequence[Tensor]) -> list[int]:
    """Point to each row of those that the parameter-only values are made from."""
    rows: list[int] = []
    for tensor, (_, count) in zip(own, kernel.sources.given.sources, strict=True):
        step = kernel.units * tensor.element_size()
        rows += [tensor.data_ptr() + i * step for i in range(count)]
    return rows


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
