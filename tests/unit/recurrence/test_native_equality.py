"""The native backend equals the loop, for every cell that it takes."""

import platform
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import RecurrentNetwork, Trace, choose_backend, unroll
from rnnexp.recurrence.backends import Run, run_loop
from rnnexp.recurrence.check import Remembered
from rnnexp.recurrence.native import build as building
from rnnexp.recurrence.native import kernel, layout, reason_against, run_native
from rnnexp.recurrence.native import run as running
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.registry import REGISTRY

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")

load_plugins()
CELLS = ["elman", "gru", "leaky", "lstm"]
"""They differ in all that the engine sees; the contract holds every registered cell to the loop."""
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
OPTIONS = [
    ("elman", {"nonlinearity": "relu"}),
    ("leaky", {"slowest_leak": 0.01}),
    ("leaky", {"trainable": False}),
]
RUNS = [(name, {}) for name in CELLS] + OPTIONS
EXACT = ("outputs", "d_inputs", "d_weight_ih", "d_weight_hh", "state 0", "d_state 0")
"""What is made row by row, or column by column: all but the sums over rows, made per thread."""
# T, rows, I, H: ones, tails of every register width, and more than one panel of registers
EDGES = [(1, (1,), 1, 1), (2, (1,), 3, 70), (5, (9,), 2, 17), (3, (2, 3), 4, 8), (4, (7,), 20, 130)]


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    # However little there is to do, the threads that are allowed share it.
    monkeypatch.setattr(layout, "WORTH_A_THREAD", 1)
    layout.layout_of.cache_clear()


def make(
    name: str, inputs: int, units: int, dtype: torch.dtype, **options: object
) -> PointwiseCell:
    torch.manual_seed(0)
    cell = REGISTRY.get("cell", name).cls(inputs, hidden_size=units, **options).to(dtype)
    reason = reason_against(cell)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    return cell


@dataclass(frozen=True)
class Sequence:
    """A sequence and a first state to run a cell on."""

    inputs_TBI: Tensor
    state: tuple[Tensor, ...]

    @classmethod
    def random(cls, cell: PointwiseCell, steps: int, rows: tuple[int, ...]) -> "Sequence":
        dtype = cell.weight_ih.dtype
        inputs = torch.randn(steps, *rows, cell.input_size, dtype=dtype)
        state = [torch.randn(*rows, cell.hidden_size, dtype=dtype) for _ in range(cell.num_states)]
        return cls(inputs, tuple(state))


def results(run: Run, cell: PointwiseCell, sequence: Sequence) -> dict[str, Tensor]:
    """Run forward and backward; name all that comes out."""
    inputs = sequence.inputs_TBI.clone().requires_grad_()
    state = tuple(s.clone().requires_grad_() for s in sequence.state)
    trace = Trace()
    outputs, last = run(cell, inputs, state, trace)
    loss = sum((r * torch.arange(r.numel()).view_as(r).sin()).sum() for r in (outputs, *last))
    cell.zero_grad()
    loss.backward()
    assert trace.grad_norm_T is not None
    named = {"outputs": outputs, "norm": trace.grad_norm_T, "d_inputs": inputs.grad}
    named |= {f"state {i}": s for i, s in enumerate(last)}
    named |= {f"d_state {i}": s.grad for i, s in enumerate(state)}
    named |= {f"d_{key}": p.grad for key, p in cell.named_parameters() if p.requires_grad}
    return {key: value.detach() for key, value in named.items()}


def assert_equal(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert mine.keys() == theirs.keys()
    for key, expected in theirs.items():
        tolerance = TOLERANCE[expected.dtype]
        largest = expected.abs().max().item()
        torch.testing.assert_close(
            mine[key],
            expected,
            rtol=tolerance,
            atol=tolerance * largest,
            msg=lambda m, k=key: f"{k}: {m}",
        )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("name", "options"), RUNS, ids=str)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_equals_the_loop(name: str, options: dict, dtype: torch.dtype, data: st.DataObject) -> None:
    steps, inputs, units = (data.draw(st.integers(1, high)) for high in (7, 5, 40))
    rows = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=2)))
    torch.set_num_threads(data.draw(st.integers(1, 2)))
    cell = make(name, inputs, units, dtype, **options)
    sequence = Sequence.random(cell, steps, rows)
    assert_equal(results(run_native, cell, sequence), results(run_loop, cell, sequence))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("edge", EDGES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_equals_the_loop_at_the_edges(name: str, edge: tuple, dtype: torch.dtype) -> None:
    steps, rows, inputs, units = edge
    cell = make(name, inputs, units, dtype)
    sequence = Sequence.random(cell, steps, rows)
    assert_equal(results(run_native, cell, sequence), results(run_loop, cell, sequence))


@pytest.mark.parametrize("units", [40, 70])
@pytest.mark.parametrize("name", CELLS)
def test_more_threads_give_the_same_numbers_as_one(name: str, units: int) -> None:
    cell = make(name, 3, units, torch.float32)
    sequence = Sequence.random(cell, 30, (25,))
    alone = results(run_native, cell, sequence)
    for threads in (2, 3, 4, 6):
        torch.set_num_threads(threads)
        together = results(run_native, cell, sequence)
        assert all(torch.equal(together[key], alone[key]) for key in EXACT)
        assert_equal(together, alone)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")
@pytest.mark.parametrize(("without", "most"), [("-mno-avx512f", 8), ("-mno-avx", 4)])
@pytest.mark.parametrize("name", CELLS)
def test_narrower_registers_give_the_same_numbers(
    name: str, without: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make(name, 3, 70, torch.float32)
    sequence = Sequence.random(cell, 30, (25,))
    monkeypatch.setattr(building, "_FLAGS", (*building._FLAGS, without))
    monkeypatch.setattr(kernel, "load_kernel", kernel.load_kernel.__wrapped__)
    narrow = kernel.make_kernel(cell)
    assert narrow.lanes <= most
    monkeypatch.setattr(running, "_kernels", Remembered(lambda _: narrow, lasting=lambda _: True))
    alone = results(run_native, cell, sequence)
    assert_equal(alone, results(run_loop, cell, sequence))
    torch.set_num_threads(3)
    together = results(run_native, cell, sequence)
    assert all(torch.equal(together[key], alone[key]) for key in EXACT)


@pytest.mark.parametrize("name", CELLS)
def test_a_carried_state_continues_the_sequence(name: str) -> None:
    cell = make(name, 3, 20, torch.float64)
    inputs = torch.randn(9, 4, 3, dtype=torch.float64)
    whole = unroll(cell, inputs, backend="native")
    first = unroll(cell, inputs[:4], backend="native")
    second = unroll(cell, inputs[4:], first.state, backend="native")
    torch.testing.assert_close(
        torch.cat([first.outputs_TBH, second.outputs_TBH]), whole.outputs_TBH
    )
    for mine, expected in zip(second.state, whole.state, strict=True):
        torch.testing.assert_close(mine, expected)


@pytest.mark.parametrize("name", CELLS)
def test_without_gradients_the_same_comes_out(name: str) -> None:
    cell = make(name, 3, 20, torch.float32)
    sequence = Sequence.random(cell, 6, (5,))
    expected, expected_state = run_loop(cell, sequence.inputs_TBI, sequence.state)
    with torch.no_grad():
        outputs, state = run_native(cell, sequence.inputs_TBI, sequence.state)
    assert not outputs.requires_grad
    torch.testing.assert_close(outputs, expected.detach())
    for mine, theirs in zip(state, expected_state, strict=True):
        torch.testing.assert_close(mine, theirs.detach())


@pytest.mark.parametrize("name", CELLS)
def test_inputs_of_any_layout(name: str) -> None:
    cell = make(name, 3, 20, torch.float32)
    sequence = Sequence.random(cell, 6, (5,))
    strided = sequence.inputs_TBI.transpose(0, 1).contiguous().transpose(0, 1)
    assert not strided.is_contiguous()
    apart = Sequence(strided, tuple(s.t().contiguous().t() for s in sequence.state))
    assert_equal(results(run_native, cell, apart), results(run_loop, cell, sequence))


@pytest.mark.parametrize("name", CELLS)
def test_nan_in_the_input_reaches_the_output_of_its_row_and_no_other(name: str) -> None:
    cell = make(name, 3, 20, torch.float32)
    inputs = torch.randn(4, 5, 3)
    inputs[1, 2, 0] = float("nan")
    outputs = unroll(cell, inputs, backend="native").outputs_TBH
    assert outputs[1:, 2].isnan().all()
    outputs[1:, 2] = 0
    assert not outputs.isnan().any()


def test_several_layers_train_alike() -> None:
    entry = REGISTRY.get("cell", "lstm").cls

    def losses(backend: str) -> list[float]:
        torch.manual_seed(0)
        network = RecurrentNetwork(
            lambda size: entry(size, hidden_size=12), 3, 2, layers=3, backend=backend
        )
        optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
        inputs, found = torch.randn(8, 6, 3), []
        for _ in range(10):
            loss = (network(inputs)[0] - 1).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    assert losses("native") == pytest.approx(losses("loop"), rel=1e-4)


@pytest.mark.parametrize("name", CELLS)
def test_auto_takes_it_where_it_can(name: str) -> None:
    cell = REGISTRY.get("cell", name).cls(3, hidden_size=4)
    native = reason_against(cell) is None
    assert (choose_backend(cell) == "native") == native
    assert (choose_backend(cell, needed="norms") == "native") == native
