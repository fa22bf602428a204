"""No rows, and no features: as few numbers as there can be, by every backend."""

import pytest
import torch

from rnnexp.cells import Cell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import Trace, unroll
from rnnexp.recurrence.backends import BACKENDS, reason_against
from rnnexp.registry import REGISTRY

load_plugins()
CELLS = ["elman", "gru", "lstm", "min_gru"]
"""Together they run by all backends but that without time."""
LEADS = [(0,), (2, 0), (0, 2)]


def make(name: str, inputs: int) -> Cell:
    torch.manual_seed(0)
    cell = REGISTRY.get("cell", name).cls(inputs, hidden_size=5)
    assert isinstance(cell, Cell)
    return cell


def check_that_it_can(backend: str, cell: Cell) -> None:
    reason = reason_against(backend, cell)
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
def test_no_rows_give_no_outputs_and_gradients_of_zero(
    name: str, backend: str, lead: tuple[int, ...]
) -> None:
    cell = make(name, inputs=3)
    check_that_it_can(backend, cell)
    inputs = torch.zeros(4, *lead, 3, requires_grad=True)
    run = unroll(cell, inputs, backend=backend)
    assert run.outputs_TBH.shape == (4, *lead, 5)
    assert {s.shape[: len(lead)] for s in run.state} == {lead}
    run.outputs_TBH.sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.shape == inputs.shape
    assert all(p.grad is not None and not p.grad.any() for p in cell.parameters())


@pytest.mark.parametrize("backend", ["native", "pointwise", "loop"])
def test_no_rows_have_norms_of_zero(backend: str) -> None:
    cell, trace = make("elman", inputs=3), Trace()
    check_that_it_can(backend, cell)
    run = unroll(cell, torch.zeros(4, 0, 3), backend=backend, trace=trace)
    run.outputs_TBH.sum().backward()
    assert trace.grad_norm_T is not None
    assert trace.grad_norm_T.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("lead", [(2,), *LEADS])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
def test_no_features_leave_the_state_to_itself(
    name: str, backend: str, lead: tuple[int, ...]
) -> None:
    cell = make(name, inputs=0)
    check_that_it_can(backend, cell)
    results = []
    for by in (backend, "loop"):
        cell.zero_grad()
        state = tuple(torch.ones_like(s) for s in cell.initial_state(lead))
        outputs_TBH = unroll(cell, torch.zeros(4, *lead, 0), state, backend=by).outputs_TBH
        outputs_TBH.square().sum().backward()
        results.append([outputs_TBH, *(p.grad for p in cell.parameters())])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("backend", ["native", "pointwise"])
def test_no_features_keep_no_fast_backend_away(backend: str) -> None:
    reasons = [reason_against(backend, make("elman", inputs)) for inputs in (3, 0)]
    assert reasons[0] == reasons[1]
