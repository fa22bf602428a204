"""The pointwise backend against the loop: outputs, gradients, traces; and what it must survive."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import RecurrentNetwork, Trace, unroll
from rnnexp.registry import REGISTRY
from rnnexp.types import State

from .subjects import Peephole, draw, weigh

load_plugins()
SHIPPED = ["elman", "gru", "leaky", "lstm"]
"""They differ in all that the engine sees; the contract holds every registered cell to the loop."""
TOLERANCE = {
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.float64: {"rtol": 1e-9, "atol": 1e-12},
}


class Stubborn(PointwiseCell):
    """States that never change, that are constant, and that are a product itself."""

    num_gates = 1
    num_states = 4

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        # Two views of the same memory; the loop's trace would count one tensor twice over.
        return rh_BGH.squeeze(-2), state[1], torch.ones_like(state[2]), rh_BGH.squeeze(-2)


class Deaf(PointwiseCell):
    """A cell that does not listen to its own past."""

    num_gates = 1

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return (torch.relu(wx_BGH.squeeze(-2)),)


CELLS: dict[str, Callable[..., PointwiseCell]] = {
    **{name: REGISTRY.get("cell", name).cls for name in SHIPPED},
    **{cls.__name__: cls for cls in (Peephole, Stubborn, Deaf)},
}
UNSHIPPED = CELLS.keys() - set(SHIPPED)
"""The others are held to the loop by test_every_cell."""
any_cell = pytest.mark.parametrize("name", CELLS)


def make(name: str, inputs: int = 3, hidden: int = 4, dtype: Any = torch.float64) -> PointwiseCell:
    torch.manual_seed(0)
    return CELLS[name](inputs, hidden_size=hidden).to(dtype)


def results(
    cell: PointwiseCell, x: Tensor, state: State, backend: str, parts: str = "outputs state"
) -> list[Tensor]:
    """Everything one pass gives: outputs, last state, every gradient (zero if none), the trace."""
    leaves = [x, *state, *(p for p in cell.parameters() if p.requires_grad)]
    for leaf in leaves:
        leaf.grad = None
    trace = Trace()
    run = unroll(cell, x, state, backend=backend, trace=trace)
    weigh(
        ([run.outputs_TBH] if "outputs" in parts else [])
        + (list(run.state) if "state" in parts else [])
    ).backward()
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in leaves]
    assert trace.grad_norm_T is not None
    return [run.outputs_TBH.detach(), *(s.detach() for s in run.state), *grads, trace.grad_norm_T]


def compare(cell: PointwiseCell, x: Tensor, state: State, **options: Any) -> None:
    found = results(cell, x, state, "pointwise", **options)
    wanted = results(cell, x, state, "loop", **options)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE[x.dtype])


@pytest.mark.parametrize("name", sorted(UNSHIPPED))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 4),
    inputs=st.integers(1, 4),
    size=st.integers(1, 5),
)
def test_equals_the_loop(
    name: str, dtype: torch.dtype, steps: int, batch: int, inputs: int, size: int
) -> None:
    cell = make(name, inputs, size, dtype)
    compare(cell, *draw(cell, steps, (batch,)))


@any_cell
@pytest.mark.parametrize("lead", [(), (2, 3), (2, 1, 2)])
def test_any_leading_axes(name: str, lead: tuple[int, ...]) -> None:
    cell = make(name)
    compare(cell, *draw(cell, 5, lead))


@any_cell
def test_gradients_against_finite_differences(name: str) -> None:
    cell = make(name, 2, 3)
    x, state = draw(cell, 4, (2,))
    trained = [p for p in cell.parameters() if p.requires_grad]

    def run(x: Tensor, *rest: Tensor) -> State:
        # gradcheck perturbs the parameters where they are.
        found = unroll(cell, x, rest[: cell.num_states], backend="pointwise")
        return (found.outputs_TBH, *(s for s in found.state if s.requires_grad))

    assert torch.autograd.gradcheck(run, (x, *state, *trained))


@any_cell
@pytest.mark.parametrize("parts", ["outputs", "state"])
def test_a_missing_gradient_is_nought(name: str, parts: str) -> None:
    cell = make(name)
    x, state = draw(cell, 5, (2,))
    compare(cell, x, state, parts=parts)


@any_cell
def test_long_sequences_go_in_several_spans(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make(name)
    x, state = draw(cell, 11, (2,))
    monkeypatch.setattr("rnnexp.recurrence.sweep._SPAN", 4 * cell.num_gates * 2 * 4)
    compare(cell, x, state)


@any_cell
def test_large_products(name: str) -> None:
    # These sizes take the other product library and the kept buffers.
    cell = make(name, 16, 96, torch.float32)
    x, state = draw(cell, 40, (64,))
    for _ in range(2):
        found = results(cell, x, state, "pointwise")
        double = make(name, 16, 96)
        double.load_state_dict(cell.state_dict())
        leaves = [a.detach().double().requires_grad_() for a in (x, *state)]
        wanted = results(double, leaves[0], tuple(leaves[1:]), "loop")
        for a, b in zip(found, wanted, strict=True):
            scale = float(b.abs().max())
            torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=2e-5 * max(scale, 1))


def test_inputs_need_not_be_contiguous() -> None:
    cell = make("lstm")
    x, state = draw(cell, 5, (6,))
    strided = x.detach()[:, ::2].requires_grad_()
    halves = tuple(s.detach()[::2].requires_grad_() for s in state)
    compare(cell, strided, halves)


def test_first_state_may_be_expanded() -> None:
    cell = make("gru")
    x, _ = draw(cell, 5, (3,))
    start = torch.randn(1, 4, dtype=x.dtype)
    outputs = [
        unroll(cell, x, (start.expand(3, 4),), backend=backend).outputs_TBH
        for backend in ("pointwise", "loop")
    ]
    torch.testing.assert_close(*outputs)


@any_cell
def test_frozen_parameters_get_no_gradient(name: str) -> None:
    cell = make(name)
    cell.weight_hh.requires_grad_(False)
    cell.bias_ih.requires_grad_(False)
    compare(cell, *draw(cell, 5, (2,)))
    assert cell.weight_hh.grad is None


def test_all_parameters_frozen() -> None:
    cell = make("Peephole").requires_grad_(False)
    compare(cell, *draw(cell, 5, (2,)))


@any_cell
def test_state_is_carried_with_its_gradient(name: str) -> None:
    cell = make(name)
    x, state = draw(cell, 8, (2,))

    def halves(backend: str) -> tuple[Tensor, ...]:
        first = unroll(cell, x[:3], state, backend=backend)
        second = unroll(cell, x[3:], first.state, backend=backend)
        loss = weigh([first.outputs_TBH, second.outputs_TBH, *second.state])
        return torch.autograd.grad(loss, (x, cell.bias_ih, *state), materialize_grads=True)

    torch.testing.assert_close(halves("pointwise"), halves("loop"))


def test_trace_sees_the_whole_gradient_of_each_step() -> None:
    cell = make("lstm")
    x, state = draw(cell, 6, (2,))
    norms = []
    for backend in ("pointwise", "loop"):
        trace = Trace()
        unroll(cell, x, state, backend=backend, trace=trace).state[0].sum().backward()
        norms.append(trace.grad_norm_T)
    torch.testing.assert_close(norms[0], norms[1])
    assert norms[0].shape == (6,)
    assert norms[0][-1] == pytest.approx(8**0.5)


def test_several_layers() -> None:
    torch.manual_seed(0)

    def build(backend: str) -> RecurrentNetwork:
        cell = REGISTRY.get("cell", "gru").cls
        return RecurrentNetwork(
            lambda size: cell(size, hidden_size=5), 3, 2, layers=3, backend=backend
        ).double()

    fast, slow = build("pointwise"), build("loop")
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    for network in (fast, slow):
        weigh([network(x)[0]]).backward()
    for a, b in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12)
