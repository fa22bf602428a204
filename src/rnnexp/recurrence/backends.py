"""The ways to run a cell over time; all give the same outputs and gradients.

parallel   a cell without state: no step depends on another, all T run at once
vendor     torch's own RNN, LSTM or GRU with the cell's weights
loop       one step after the other under autograd: any cell, and the reference for the rest
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell, Twin
from rnnexp.types import State

BackendName = str
Run = Callable[[Cell, Tensor, State], tuple[Tensor, State]]


@dataclass(frozen=True)
class Backend:
    """How to run a cell, and the reason why a given cell cannot be run so (None: it can)."""

    run: Run
    reason_against: Callable[[Cell], str | None]


def reason_against(name: BackendName, cell: Cell) -> str | None:
    """Say why a backend cannot run a cell, or None if it can."""
    return BACKENDS[name].reason_against(cell)


def run_loop(cell: Cell, inputs_TBI: Tensor, state: State) -> tuple[Tensor, State]:
    """Step through time under autograd."""
    if isinstance(cell, PointwiseCell):
        return _run_pointwise_loop(cell, inputs_TBI, state)
    outputs: list[Tensor] = []
    for x_BI in inputs_TBI.unbind(0):
        out_BH, state = cell.step(x_BI, state)
        outputs.append(out_BH)
    return torch.stack(outputs), state


def _run_pointwise_loop(
    cell: PointwiseCell, inputs_TBI: Tensor, state: State
) -> tuple[Tensor, State]:
    outputs: list[Tensor] = []
    for wx_BGH in cell.project_input(inputs_TBI).unbind(0):  # one product for all T
        state = cell.update(wx_BGH, cell.project_recurrent(state[0]), state)
        outputs.append(state[0])
    return torch.stack(outputs), state


def run_parallel(cell: Cell, inputs_TBI: Tensor, state: State) -> tuple[Tensor, State]:
    """Run all time steps as one batch; there is no state to wait for, hence no BPTT."""
    return cell.step(inputs_TBI, state)


def run_vendor(cell: Cell, inputs_TBI: Tensor, state: State) -> tuple[Tensor, State]:
    """Run torch's own recurrence, which knows exactly one batch axis."""
    twin = cell.twin()
    assert twin is not None
    lead = inputs_TBI.shape[1:-1]
    flat_TBI = inputs_TBI.reshape(inputs_TBI.shape[0], -1, inputs_TBI.shape[-1])
    flat_state = tuple(s.reshape(1, -1, s.shape[-1]) for s in state)
    outputs_TBH, last = _run_twin(twin, flat_TBI, flat_state)
    restored = tuple(s.reshape(*lead, s.shape[-1]) for s in last)
    return outputs_TBH.reshape(-1, *lead, outputs_TBH.shape[-1]), restored


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


def _against_vendor(cell: Cell) -> str | None:
    return None if cell.twin() is not None else "torch.nn has no such recurrence."


def _against_loop(cell: Cell) -> str | None:
    del cell
    return None


BACKENDS: dict[str, Backend] = {
    "parallel": Backend(run_parallel, _against_parallel),
    "vendor": Backend(run_vendor, _against_vendor),
    "loop": Backend(run_loop, _against_loop),
}
AUTO_ORDER: tuple[BackendName, ...] = ("parallel", "vendor", "loop")
