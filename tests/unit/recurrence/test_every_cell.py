"""Every registered `PointwiseCell` on the fast backends: what the loop gives, on any shapes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import Trace, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import REGISTRY, Entry
from rnnexp.testing.subject import CellSubject, gradients, random_state, weighed
from rnnexp.types import State

load_plugins()
ENTRIES = [e for e in REGISTRY.all("cell") if issubclass(e.cls, PointwiseCell)]
TOLERANCE = {torch.float32: 2e-4, torch.float64: 1e-9}
Part = Callable[[Tensor, State], list[Tensor]]
PARTS: dict[str, Part] = {
    "all": lambda outputs_TBH, last: [outputs_TBH, *last],
    "outputs": lambda outputs_TBH, last: [outputs_TBH],
    "last output": lambda outputs_TBH, last: [outputs_TBH[-1]],
    "last state": lambda outputs_TBH, last: [*last],
    "one of its tensors": lambda outputs_TBH, last: [last[-1]],
}
"""What the loss sees; a missing gradient counts as nought."""

every_cell = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
both_backends = pytest.mark.parametrize("backend", ["pointwise", "native"])


@dataclass(frozen=True)
class Case:
    """What is run: sizes, and how the sequence is cut."""

    steps: int
    rows: tuple[int, ...]
    inputs: int
    hidden: int
    layers: int
    dtype: torch.dtype
    part: str
    carried_at: int | None
    lengths: tuple[int, ...] | None
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    steps = draw(st.integers(1, 7))
    rows = tuple(draw(st.lists(st.integers(1, 5), min_size=0, max_size=2)))
    way = draw(st.sampled_from(["whole", "carried", "lengths"]))
    count = int(torch.tensor(rows).prod()) if rows else 1
    lengths = st.lists(st.integers(1, steps), min_size=count, max_size=count)
    return Case(
        steps,
        rows,
        inputs=draw(st.integers(1, 5)),
        hidden=draw(st.integers(1, 20)),
        layers=draw(st.integers(1, 2)),
        dtype=draw(st.sampled_from(list(TOLERANCE))),
        part=draw(st.sampled_from(list(PARTS))),
        carried_at=draw(st.integers(1, steps - 1)) if way == "carried" and steps > 1 else None,
        lengths=tuple(draw(lengths)) if way == "lengths" and rows else None,
        seed=draw(st.integers(0, 99)),
    )


@dataclass(frozen=True)
class Stack:
    """Layers of one cell, and what they are run on."""

    cells: list[PointwiseCell]
    inputs_TBI: Tensor
    states: list[State]

    @classmethod
    def of(cls, entry: Entry, case: Case) -> "Stack":
        sizes = [case.inputs, *[case.hidden] * (case.layers - 1)]
        make = CellSubject(entry).make
        cells: list[Any] = [
            make(case.dtype, seed=case.seed + i, input_size=size, hidden_size=case.hidden)
            for i, size in enumerate(sizes)
        ]
        inputs_TBI = torch.randn(case.steps, *case.rows, case.inputs, dtype=case.dtype)
        return cls(cells, inputs_TBI, [random_state(cell, case.rows) for cell in cells])

    def results(self, backend: str, case: Case) -> dict[str, Tensor]:
        """Run forward and backward; name all that comes out."""
        inputs_TBI = self.inputs_TBI.clone().requires_grad_()
        states = [tuple(s.clone().requires_grad_() for s in state) for state in self.states]
        traces: list[Trace] = []
        outputs_TBH, lasts = inputs_TBI, list[State]()
        for cell, state in zip(self.cells, states, strict=True):
            outputs_TBH, last = _run(backend, cell, outputs_TBH, state, case, traces)
            lasts.append(last)
        seen = PARTS[case.part](outputs_TBH, lasts[-1])
        leaves = {"inputs": inputs_TBI, **_named("state", states), **self._parameters()}
        grads = gradients(weighed(seen), list(leaves.values()))
        found = {"outputs": outputs_TBH, **_named("last", lasts)}
        found |= {f"dL/d({key})": g for key, g in zip(leaves, grads, strict=True)}
        norms = [t.grad_norm_T for t in traces]
        found |= {f"norms {i}": n for i, n in enumerate(norms) if n is not None}
        return {key: tensor.detach() for key, tensor in found.items()}

    def _parameters(self) -> dict[str, Tensor]:
        named = ((i, *pair) for i, c in enumerate(self.cells) for pair in c.named_parameters())
        return {f"{i}.{name}": p for i, name, p in named if p.requires_grad}


def _run(
    backend: str,
    cell: PointwiseCell,
    x_TBI: Tensor,
    state: State,
    case: Case,
    traces: list[Trace],
) -> tuple[Tensor, State]:
    outputs = list[Tensor]()
    lengths_B = None if case.lengths is None else torch.tensor(case.lengths).view(case.rows)
    cut = case.carried_at or case.steps
    for window_TBI in filter(len, (x_TBI[:cut], x_TBI[cut:])):
        traces.append(Trace())
        run = unroll(
            cell, window_TBI, state, backend=backend, trace=traces[-1], lengths_B=lengths_B
        )
        outputs.append(run.outputs_TBH)
        state = run.state
    return torch.cat(outputs), state


def _named(what: str, states: list[State]) -> dict[str, Tensor]:
    return {f"{what} {i}.{k}": s for i, state in enumerate(states) for k, s in enumerate(state)}


def compare(entry: Entry, backend: str, case: Case) -> None:
    stack = Stack.of(entry, case)
    found, wanted = stack.results(backend, case), stack.results("loop", case)
    for key, value in found.items():
        # The loop notes no norms where no gradient arrives at all; the others note noughts.
        expected = wanted.pop(key, None) if "norms" in key else wanted.pop(key)
        expected = torch.zeros_like(value) if expected is None else expected
        tolerance = TOLERANCE[case.dtype]
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(
            value,
            expected,
            rtol=tolerance,
            atol=tolerance * scale,
            msg=lambda m, k=key: f"{k}: {m}",
        )
    assert not wanted


def skip_unless_able(entry: Entry, backend: str) -> None:
    reason = reason_against(backend, CellSubject(entry).make())
    if reason is not None:
        pytest.skip(f"{entry.name}: {reason}")


quickly = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
thoroughly = settings(quickly, max_examples=60, phases=list(Phase))


@every_cell
@both_backends
@quickly
@given(case=cases())
def test_equals_the_loop(entry: Entry, backend: str, case: Case) -> None:
    skip_unless_able(entry, backend)
    compare(entry, backend, case)


@pytest.mark.slow
@every_cell
@both_backends
@thoroughly
@given(case=cases(), threads=st.integers(1, 2))
def test_equals_the_loop_on_many_shapes(
    entry: Entry, backend: str, case: Case, threads: int
) -> None:
    skip_unless_able(entry, backend)
    torch.set_num_threads(threads)
    compare(entry, backend, case)


class Unrolled(nn.Module):
    """A cell over time as a function of all that it depends on, its weights included."""

    def __init__(self, cell: PointwiseCell, backend: str) -> None:
        super().__init__()
        self.cell, self.backend = cell, backend

    def forward(self, x_TBI: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        run = unroll(self.cell, x_TBI, state, backend=self.backend)
        return tuple(t for t in (run.outputs_TBH, *run.state) if t.requires_grad)


def check_gradient(entry: Entry, backend: str, *, fast: bool) -> None:
    skip_unless_able(entry, backend)
    cell: Any = CellSubject(entry).make(input_size=2, hidden_size=3)
    x_TBI = torch.randn(3, 2, 2, dtype=torch.float64)
    state = random_state(cell, (2,))
    weights = {f"cell.{key}": p for key, p in cell.named_parameters() if p.requires_grad}

    def run(x_TBI: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(weights, rest[len(state) :], strict=True))
        start = rest[: len(state)]
        return torch.func.functional_call(Unrolled(cell, backend), named, (x_TBI, *start))

    leaves = [t.detach().clone().requires_grad_() for t in (x_TBI, *state, *weights.values())]
    assert torch.autograd.gradcheck(run, leaves, fast_mode=fast)


@every_cell
@both_backends
def test_gradients_against_finite_differences(entry: Entry, backend: str) -> None:
    check_gradient(entry, backend, fast=True)


@pytest.mark.slow
@every_cell
@both_backends
def test_each_derivative_against_finite_differences(entry: Entry, backend: str) -> None:
    check_gradient(entry, backend, fast=False)
