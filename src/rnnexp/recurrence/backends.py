"""The ways to run a cell over time; all give the same outputs and gradients.

parallel   a cell without state: no step depends on another, all T run at once
native     loops in C, on a GPU in CUDA, generated from the cell's `update` and compiled here: any
           PointwiseCell
pointwise  loops of its own for a cell that is elementwise beside its products; derivatives of all
           steps at once
scan       a cell linear in its state: pairs of steps joined, then pairs of pairs, in log2(T) rounds
vendor     torch's own RNN, LSTM or GRU with the cell's weights
loop       one step after the other under autograd: any cell, and the reference for the rest
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod

import torch
from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell, Twin, has_own_step, still_holds
from rnnexp.recurrence.check import OWN_STEP
from rnnexp.recurrence.inside_torch import is_forward_mode, is_transformed, not_compiled
from rnnexp.recurrence.last_alone import Way
from rnnexp.recurrence.native import is_slower_than_vendor, run_native
from rnnexp.recurrence.native import reason_against as native_reason_against
from rnnexp.recurrence.pointwise import reason_against as pointwise_reason_against
from rnnexp.recurrence.pointwise import run_pointwise
from rnnexp.recurrence.scan import reason_against as scan_reason_against
from rnnexp.recurrence.scan import run_scan
from rnnexp.recurrence.segments import Run
from rnnexp.recurrence.shapes import check_step
from rnnexp.recurrence.trace import Shown, Trace
from rnnexp.types import State

BackendName = str


@dataclass(frozen=True)
class Backend:
    """How to run a cell, the reason why a given cell cannot be run so (None: it can), and how much
    of dL/dh_t its backward pass shows a `Trace`."""

    run: Run
    reason_against: Callable[[Cell], str | None]
    shows: Shown = "gradients"


_ORDER: tuple[Shown, ...] = ("nothing", "norms", "gradients")


def reason_against(name: BackendName, cell: Cell, needed: Shown = "nothing") -> str | None:
    """Say why a backend cannot run a cell and show what is needed of dL/dh_t; None if it can."""
    shows = BACKENDS[name].shows
    if _ORDER.index(shows) < _ORDER.index(needed):
        return f"of dL/dh_t at each time step it shows {shows}; what was asked for is {needed}."
    return BACKENDS[name].reason_against(cell)


def run_loop(
    cell: Cell, inputs_TBI: Tensor, state: State, trace: Trace | None = None
) -> tuple[Tensor, State]:
    """Step through time under autograd."""
    step, prepared_TBX = _step_of(cell, inputs_TBI)
    outputs: list[Tensor] = []
    before: list[State] = []
    way = Way(cell, state, trace) if trace is not None and trace.follows_last else None
    for x_BX in prepared_TBX.unbind(0):
        before.append(state)
        out_BH, state = step(x_BX, state)
        if not outputs:
            check_step(cell, before[0], out_BH, state)
        shown = state[0] if cell.gradient_of == "state" else out_BH
        _watch(shown, trace, len(outputs), inputs_TBI.shape[0])
        outputs.append(out_BH)
        state = state if way is None else way.through(out_BH, state)
    if trace is not None and trace.needs == "gradients":
        lead = inputs_TBI.dim() - 2
        columns = (torch.stack(column) for column in zip(*before, strict=True))
        trace.note_states(tuple(column.flatten(1, lead) for column in columns))
    outputs_TBH = torch.stack(outputs)
    if trace is not None and outputs_TBH.requires_grad:
        outputs_TBH.register_hook(trace.note_entering)
        if way is not None:
            outputs_TBH.register_hook(way.go_back)
    return outputs_TBH, state


def _step_of(
    cell: Cell, inputs_TBI: Tensor
) -> tuple[Callable[[Tensor, State], tuple[Tensor, State]], Tensor]:
    """Give what makes a step, and what it is given at each of the T."""
    if not isinstance(cell, PointwiseCell) or has_own_step(cell):
        return cell.step, inputs_TBI
    # One input product for all T. No function of its own: torch.export cannot read annotations.
    return partial(_update, cell), cell.project_input(inputs_TBI)


def _update(cell: PointwiseCell, wx_BGH: Tensor, state: State) -> tuple[Tensor, State]:
    state = cell.update(wx_BGH, cell.project_recurrent(state[0]), state)
    return state[0], state


def _watch(shown_BH: Tensor, trace: Trace | None, t: int, steps: int) -> None:
    if trace is not None and shown_BH.requires_grad:
        shown_BH.register_hook(trace.hook(t, steps))


def run_parallel(
    cell: Cell, inputs_TBI: Tensor, state: State, trace: Trace | None = None
) -> tuple[Tensor, State]:
    """Run all time steps as one batch; there is no state to wait for, hence no BPTT."""
    outputs_TBH, state = cell.step(inputs_TBI, state)
    if trace is not None and outputs_TBH.requires_grad:
        outputs_TBH.register_hook(trace.note_all)
        outputs_TBH.register_hook(trace.note_entering)
    return outputs_TBH, state


def run_vendor(
    cell: Cell, inputs_TBI: Tensor, state: State, trace: Trace | None = None
) -> tuple[Tensor, State]:
    """Run torch's own recurrence, which knows exactly one batch axis and shows no dL/dh_t."""
    twin = cell.twin()
    assert twin is not None
    assert trace is None
    lead = inputs_TBI.shape[1:-1]
    flat_TBI = inputs_TBI.reshape(len(inputs_TBI), prod(lead), inputs_TBI.shape[-1])
    flat_state = tuple(s.reshape(1, -1, s.shape[-1]) for s in state)
    outputs_TBH, last = _run_twin(twin, flat_TBI, flat_state)
    restored = tuple(s.reshape(*lead, s.shape[-1]) for s in last)
    return outputs_TBH.reshape(len(outputs_TBH), *lead, outputs_TBH.shape[-1]), restored


def _run_twin(twin: Twin, flat_TBI: Tensor, state: State) -> tuple[Tensor, State]:
    weights = [twin.weight_ih, twin.weight_hh, twin.bias_ih, twin.bias_hh]
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    flags = (True, 1, 0.0, torch.is_grad_enabled(), False, False)
    if twin.kind == "LSTM":
        outputs, h, c = torch.lstm(flat_TBI, list(state), weights, *flags)
        return outputs, (h, c)
    run = {"RNN_TANH": torch.rnn_tanh, "RNN_RELU": torch.rnn_relu, "GRU": torch.gru}[twin.kind]
    outputs, h = run(flat_TBI, state[0], weights, *flags)
    return outputs, (h,)


def _against_parallel(cell: Cell) -> str | None:
    if cell.recurs_through == "output":
        return None
    return "its state carries from step to step, so the steps cannot run at once."


_OF_A_TWIN = ("update", "step", "project_input", "project_recurrent", "recurrent_weight")


def _against_vendor(cell: Cell) -> str | None:
    twin = cell.twin()
    if twin is None:
        return "torch.nn has no such recurrence."
    if has_own_step(cell):
        return OWN_STEP
    if not still_holds(cell, "twin", *_OF_A_TWIN):
        return "torch.nn has the recurrence of the class that it overrides, not its own."
    if is_transformed():
        return "torch.func transforms cannot look into torch's own recurrences."
    if is_forward_mode():
        return "not all of torch's own recurrences have a derivative forwards."
    on_cpu = twin.weight_hh.device.type == "cpu"
    if twin.kind == "LSTM" and on_cpu and torch.is_autocast_enabled("cpu"):
        return _against_type(torch.get_autocast_dtype("cpu"))
    return None


@lru_cache
@torch.inference_mode(False)
@torch.enable_grad()
def _against_type(dtype: torch.dtype) -> str | None:
    # Under autocast torch hands its LSTM to oneDNN, which fails where the CPU lacks instructions,
    # and in float16 fails to train where it has them. No property of the CPU says it: it is tried.
    x_TBI, b_G = torch.zeros(1, 1, 1), torch.zeros(4)
    weight_GI = torch.zeros(4, 1).requires_grad_()
    twin = Twin("LSTM", weight_GI, weight_GI, b_G, b_G)
    try:
        with torch.autocast("cpu", dtype=dtype):
            outputs_TBH, _ = _run_twin(twin, x_TBI, (x_TBI, x_TBI))
        outputs_TBH.sum().backward()
    except RuntimeError:
        return f"torch's LSTM cannot run in {dtype} on this CPU, which autocast asks for."
    return None


def _against_loop(cell: Cell) -> str | None:
    del cell
    return None


BACKENDS: dict[str, Backend] = {
    "parallel": Backend(run_parallel, _against_parallel),
    "native": Backend(not_compiled(run_native), not_compiled(native_reason_against), "norms"),
    "pointwise": Backend(not_compiled(run_pointwise), not_compiled(pointwise_reason_against)),
    "scan": Backend(not_compiled(run_scan), not_compiled(scan_reason_against), "norms"),
    "vendor": Backend(run_vendor, _against_vendor, shows="nothing"),
    "loop": Backend(run_loop, _against_loop),
}


@not_compiled
def fastest(cell: Cell, needed: Shown = "nothing") -> BackendName:
    """Name the fastest backend that runs a cell and shows what is needed of dL/dh_t."""
    order = auto_order(cell)
    return next(name for name in order if reason_against(name, cell, needed) is None)


def auto_order(cell: Cell) -> Iterator[BackendName]:
    """List the backends as ``auto`` tries them for a cell, the fastest first."""
    yield "parallel"
    if isinstance(cell, PointwiseCell) and is_slower_than_vendor(cell) and cell.twin() is not None:
        yield "vendor"
    # Most cells get no further: it is asked at every run.
    yield "native"
    if _vendor_is_faster(cell):
        yield from ("vendor", "pointwise", "scan", "loop")
    else:
        yield from ("pointwise", "scan", "vendor", "loop")


def _vendor_is_faster(cell: Cell) -> bool:
    # Of torch's own on a CPU the LSTM is one fused operation, the RNN and the GRU are slow loops.
    twin = cell.twin()
    return twin is not None and (twin.kind == "LSTM" or twin.weight_hh.device.type != "cpu")
