"""The native backend under autograd: missing gradients, kept graphs, several runs at once."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.errors import ConfigError
from rnnexp.recurrence import Trace, unroll
from rnnexp.recurrence.backends import run_loop
from rnnexp.recurrence.native import reason_against, run_native
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.registry import REGISTRY

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")

load_plugins()
CELLS = ["elman", "gru", "leaky", "lstm"]
"""They differ in all that the engine sees; the contract holds every registered cell to the loop."""


def make(name: str, units: int = 5, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    torch.manual_seed(0)
    cell = REGISTRY.get("cell", name).cls(3, hidden_size=units, **options).to(dtype)
    reason = reason_against(cell)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    return cell


def sequence(
    cell: PointwiseCell, steps: int = 4, rows: int = 2
) -> tuple[Tensor, tuple[Tensor, ...]]:
    dtype = cell.weight_ih.dtype
    state = tuple(torch.randn(rows, cell.hidden_size, dtype=dtype) for _ in range(cell.num_states))
    return torch.randn(steps, rows, 3, dtype=dtype), state


def gradients(cell: PointwiseCell, loss: Tensor) -> list[Tensor]:
    return list(
        torch.autograd.grad(
            loss, list(cell.parameters()), materialize_grads=True, allow_unused=True
        )
    )


@pytest.mark.parametrize("name", CELLS)
def test_gradcheck(name: str) -> None:
    cell = make(name, units=3)
    inputs, state = sequence(cell, steps=3)
    names = [key for key, _ in cell.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in cell.parameters()]

    def run(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state, weights = rest[: cell.num_states], rest[cell.num_states :]
        replaced = {f"cell.{key}": value for key, value in zip(names, weights, strict=True)}
        return torch.func.functional_call(Native(cell), replaced, (inputs, *state))

    leaves = [t.requires_grad_() for t in (inputs, *state)]
    assert torch.autograd.gradcheck(run, (*leaves, *values))


class Native(torch.nn.Module):
    def __init__(self, cell: PointwiseCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, inputs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        outputs, last = run_native(self.cell, inputs, state)
        return outputs, *last


LOSSES: dict[str, Callable[[Tensor, tuple[Tensor, ...]], Tensor]] = {
    "outputs only": lambda outputs, _: outputs.square().sum(),
    "last state only": lambda _, last: last[-1].square().sum(),
    "h of the last state only": lambda _, last: last[0].square().sum(),
    "expanded gradient": lambda outputs, _: outputs.sum(),
    "strided gradient": lambda outputs, _: outputs.transpose(0, 2).square().sum(),
    "one step": lambda outputs, _: outputs[1].square().sum(),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", CELLS)
def test_a_loss_of_parts_of_the_result(name: str, loss: str) -> None:
    cell = make(name)
    inputs, state = sequence(cell)
    mine, theirs = (
        gradients(cell, LOSSES[loss](*run(cell, inputs, state))) for run in (run_native, run_loop)
    )
    torch.testing.assert_close(mine, theirs)


PARAMETERS = [
    (name, key)
    for name in CELLS
    for key, _ in REGISTRY.get("cell", name).cls(3, hidden_size=2).named_parameters()
]


@pytest.mark.parametrize(("name", "frozen"), PARAMETERS)
def test_a_frozen_parameter_gets_no_gradient(name: str, frozen: str) -> None:
    cell = make(name)
    parameter = cell.get_parameter(frozen)
    parameter.requires_grad_(False)
    inputs, state = sequence(cell)
    found: list[list[Tensor | None]] = []
    for run in (run_native, run_loop):
        cell.zero_grad()
        run(cell, inputs, state)[0].square().sum().backward()
        found.append([p.grad for p in cell.parameters()])
    assert parameter.grad is None
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", CELLS)
def test_two_runs_before_their_backward_passes(name: str) -> None:
    cell = make(name)
    runs = [sequence(cell) for _ in range(3)]
    losses = [run_native(cell, *given)[0].square().sum() for given in runs]
    mine = [gradients(cell, loss) for loss in losses[::-1]][::-1]
    theirs = [gradients(cell, run_loop(cell, *given)[0].square().sum()) for given in runs]
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", CELLS)
def test_a_run_that_was_dropped_leaves_the_others_alone(name: str) -> None:
    cell = make(name)
    first, second = sequence(cell), sequence(cell)
    loss = run_native(cell, *first)[0].square().sum()
    for _ in range(3):
        run_native(cell, *second)
    expected = gradients(cell, run_loop(cell, *first)[0].square().sum())
    torch.testing.assert_close(gradients(cell, loss), expected)


@pytest.mark.parametrize("name", CELLS)
def test_a_kept_graph_gives_its_gradient_again(name: str) -> None:
    cell = make(name)
    loss = run_native(cell, *sequence(cell))[0].square().sum()
    parameters = list(cell.parameters())
    twice = [
        torch.autograd.grad(loss, parameters, retain_graph=kept) for kept in (True, True, False)
    ]
    assert all(
        torch.equal(a, b) for later in twice[1:] for a, b in zip(twice[0], later, strict=True)
    )
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, parameters)


@pytest.mark.parametrize("power", [1, 2])
def test_a_gradient_of_a_gradient_is_refused(power: int) -> None:
    # Of a plain sum no gradient comes in that could itself be derived: nothing else would say so.
    cell = make("elman")
    loss = run_native(cell, *sequence(cell))[0].pow(power).sum()
    with pytest.raises(ConfigError, match=r"backend=native has no second derivatives"):
        torch.autograd.grad(loss, [cell.weight_hh], create_graph=True)


@pytest.mark.parametrize("name", CELLS)
def test_the_trace_is_that_of_the_loop(name: str) -> None:
    cell = make(name)
    inputs, state = sequence(cell, steps=6)
    norms = []
    for run in (run_native, run_loop):
        trace = Trace()
        outputs, last = run(cell, inputs, state, trace)
        assert trace.grad_norm_T is None
        (outputs[-1].square().sum() + last[-1].sum()).backward()
        norms.append(trace.grad_norm_T)
    torch.testing.assert_close(*norms)


def test_copies_and_pickles_have_kernels_of_their_own() -> None:
    cell = make("leaky")
    given = sequence(cell)
    for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        with torch.no_grad():
            twin.leak_logit.add_(1)
        torch.testing.assert_close(run_native(twin, *given), run_loop(twin, *given))
    torch.testing.assert_close(run_native(cell, *given), run_loop(cell, *given))


def test_a_changed_option_is_noticed() -> None:
    cell = make("elman")
    given = sequence(cell)
    tanh = run_native(cell, *given)[0]
    cell.nonlinearity = "relu"
    torch.testing.assert_close(run_native(cell, *given), run_loop(cell, *given))
    cell.float()
    assert reason_against(cell) is None
    assert not torch.equal(tanh, run_native(cell.double(), *given)[0])


def test_replaced_parameters_are_the_ones_used() -> None:
    cell = make("leaky")
    given = sequence(cell)
    run_native(cell, *given)
    other = {key: value * 0.5 for key, value in cell.state_dict().items()}
    cell.load_state_dict(other, assign=True)
    torch.testing.assert_close(run_native(cell, *given), run_loop(cell, *given))


@pytest.fixture
def elman() -> Any:
    return make("elman", dtype=torch.float32)


@pytest.mark.parametrize(
    ("inputs", "state", "words"),
    [
        (torch.zeros(4, 2, 3, dtype=torch.float64), torch.zeros(2, 5), "expected torch.float32"),
        (torch.zeros(4, 2, 3), torch.zeros(2, 5, dtype=torch.float64), "expected torch.float32"),
        (torch.zeros(4, 2, 3), torch.zeros(3, 5), r"of shape \(2, 5\)"),
        (torch.zeros(4, 2, 7), torch.zeros(2, 5), "expected 3 features"),
    ],
)
def test_wrong_inputs_are_refused(elman: Any, inputs: Tensor, state: Tensor, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run_native(elman, inputs, (state,))


def test_it_keeps_out_of_other_modes_of_torch() -> None:
    cell = make("elman", dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "autocast" in str(reason_against(cell))
    seen: list[str | None] = []

    def loss(x: Tensor) -> Tensor:
        seen.append(reason_against(cell))
        return unroll(cell, x).outputs_TBH.sum()

    torch.func.grad(loss)(torch.randn(4, 2, 3))
    assert "torch.func" in str(seen[0])
    assert reason_against(cell) is None
