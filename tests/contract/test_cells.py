"""What every registered cell must keep; the list is the registry, so a new plugin is in it."""

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import BACKENDS, Trace, choose_backend, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import REGISTRY, Entry
from rnnexp.types import State

load_plugins()
CELLS = REGISTRY.all("cell")
T, B, I, H = 5, 3, 2, 4  # noqa: E741

pytestmark = pytest.mark.parametrize("entry", CELLS, ids=lambda entry: entry.name)


def _make(entry: Entry, dtype: torch.dtype = torch.float64, seed: int = 0) -> Cell:
    torch.manual_seed(seed)
    cell = entry.cls(I, hidden_size=H).to(dtype)
    with torch.no_grad():  # away from special values such as zero biases
        for parameter in cell.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return cell


def _random_state(cell: Cell, batch_shape: tuple[int, ...]) -> State:
    return tuple(0.5 * torch.randn_like(s) for s in cell.initial_state(batch_shape))


def _flat(step: tuple[Tensor, State]) -> list[Tensor]:
    return [step[0], *step[1]]


def _assert_same(one: list[Tensor], two: list[Tensor], atol: float = 0.0) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch_shape", [(), (B,), (2, B)])
def test_shapes_and_dtype(entry: Entry, dtype: torch.dtype, batch_shape: tuple[int, ...]) -> None:
    cell = _make(entry, dtype)
    state = cell.initial_state(batch_shape)
    out, new = cell.step(torch.randn(*batch_shape, I, dtype=dtype), state)
    assert out.shape == (*batch_shape, H)
    assert [s.shape for s in new] == [s.shape for s in state]
    assert all(s.shape[: len(batch_shape)] == batch_shape for s in state)
    assert {t.dtype for t in (out, *new, *state)} == {dtype}


def test_step_passes_gradcheck(entry: Entry) -> None:
    cell = _make(entry)
    x = torch.randn(B, I, dtype=torch.float64, requires_grad=True)
    state = [s.requires_grad_() for s in _random_state(cell, (B,))]
    weights = dict(cell.named_parameters())

    def step(x_BI: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(weights, rest[len(state) :], strict=True))
        given = (x_BI, tuple(rest[: len(state)]))
        out, new = torch.func.functional_call(_Step(cell), _prefixed(named), given)
        return (out, *new)

    assert torch.autograd.gradcheck(step, (x, *state, *weights.values()))


def gradients(result: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Zero where a result does not depend on a leaf: a cell may ignore its input."""
    return torch.autograd.grad(result, leaves, allow_unused=True, materialize_grads=True)


class _Step(torch.nn.Module):
    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        return self.cell.step(x_BI, state)


def _prefixed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"cell.{name}": weight for name, weight in weights.items()}


def test_leading_axes_equal_a_loop_over_them(entry: Entry) -> None:
    cell = _make(entry)
    x = torch.randn(2, B, I, dtype=torch.float64)
    state = _random_state(cell, (2, B))
    whole = _flat(cell.step(x, state))
    parts = [_flat(cell.step(x[k], tuple(s[k] for s in state))) for k in range(2)]
    _assert_same(whole, [torch.stack(pair) for pair in zip(*parts, strict=True)], 1e-14)


def test_rows_do_not_see_each_other(entry: Entry) -> None:
    cell = _make(entry)
    x = torch.randn(B, I, dtype=torch.float64, requires_grad=True)
    state = tuple(s.requires_grad_() for s in _random_state(cell, (B,)))
    out = cell.step(x, state)[0]
    grads = torch.autograd.grad(
        out[0].sum(), [x, *state], allow_unused=True, materialize_grads=True
    )
    assert all(not grad[1:].any() for grad in grads)
    assert any(grad[0].any() for grad in grads)


def test_step_keeps_nothing_and_changes_nothing(entry: Entry) -> None:
    cell = _make(entry)
    x, state = torch.randn(B, I, dtype=torch.float64), _random_state(cell, (B,))
    before = [t.clone() for t in (x, *state, *cell.state_dict().values())]
    first = _flat(cell.step(x, state))
    cell.step(torch.randn(7, I, dtype=torch.float64), _random_state(cell, (7,)))
    _assert_same(first, _flat(cell.step(x, state)))
    _assert_same(before, [x, *state, *cell.state_dict().values()])


def test_one_seed_gives_one_cell(entry: Entry) -> None:
    one, two, other = _make(entry), _make(entry), _make(entry, seed=1)
    _assert_same(list(one.state_dict().values()), list(two.state_dict().values()))
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in pairs)


def test_state_dict_carries_the_cell(entry: Entry) -> None:
    cell, other = _make(entry), _make(entry, seed=1)
    buffer = io.BytesIO()
    torch.save(cell.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    _assert_steps_alike(cell, other)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_compute_the_same(entry: Entry, copied) -> None:
    cell = _make(entry)
    _assert_steps_alike(cell, copied(cell))


def _assert_steps_alike(one: Cell, two: Cell) -> None:
    x, state = torch.randn(B, I, dtype=torch.float64), _random_state(one, (B,))
    _assert_same(_flat(one.step(x, state)), _flat(two.step(x, state)))


def test_every_parameter_is_used(entry: Entry) -> None:
    cell = _make(entry)
    x = torch.randn(T, B, I, dtype=torch.float64)
    trained = {name: p for name, p in cell.named_parameters() if p.requires_grad}
    if trained:
        unroll(cell, x, _random_state(cell, (B,)), backend="loop").outputs_TBH.sum().backward()
    assert trained or list(cell.parameters())  # a fixed reservoir has weights and trains none
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_backend_equals_the_loop(
    entry: Entry, backend: str, dtype: torch.dtype, atol: float
) -> None:
    cell = _make(entry, dtype)
    if reason_against(backend, cell) is not None:
        with pytest.raises(ValueError, match=f"backend={backend} cannot run"):
            choose_backend(cell, backend)
        return
    x, state = torch.randn(T, 2, B, I, dtype=dtype), _random_state(cell, (2, B))
    own, wanted = (_all_of(cell, x, state, name) for name in (backend, "loop"))
    assert len(own) == len(wanted)
    for a, b in zip(own, wanted, strict=True):
        # Rounding grows with what is rounded: of a gradient of 100, float32 keeps 1e-5.
        size = max(1.0, b.detach().abs().max().item() if b.numel() else 0.0)
        torch.testing.assert_close(a, b, rtol=0, atol=atol * size)


def _all_of(cell: Cell, x_TBI: Tensor, state: State, backend: str) -> list[Tensor]:
    """List outputs, last state and every gradient of a loss that weighs all of them unequally."""
    leaves = [t.detach().clone().requires_grad_() for t in (x_TBI, *state)]
    run = unroll(cell, leaves[0], tuple(leaves[1:]), backend=backend)
    generator = torch.Generator().manual_seed(1)
    found = [run.outputs_TBH, *run.state]
    weights = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in found]
    loss = sum((t * w).sum() for t, w in zip(found, weights, strict=True))
    trained = [p for p in cell.parameters() if p.requires_grad]
    return [*found, *gradients(loss, [*leaves, *trained])]


def test_trace_equals_the_gradient_of_each_output(entry: Entry) -> None:
    cell = _make(entry)
    trace = Trace()
    x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)  # a reservoir has no other
    state, outputs, hidden = cell.initial_state((B,)), [], []
    for x_BI in x:
        out, state = cell.step(x_BI, state)
        outputs.append(out)
        hidden.append(state[0] if cell.gradient_of == "state" else out)
    weight = torch.randn(T, B, H, dtype=torch.float64)
    wanted = torch.autograd.grad(
        (torch.stack(outputs) * weight).sum(), hidden, allow_unused=True, materialize_grads=True
    )
    run = unroll(cell, x, trace=trace)
    (run.outputs_TBH * weight).sum().backward()
    assert trace.grad_norm_T is not None
    norms = torch.stack([torch.linalg.vector_norm(grad) for grad in wanted])
    torch.testing.assert_close(trace.grad_norm_T, norms, rtol=1e-12, atol=0)


def test_cell_without_hidden_path_has_no_state(entry: Entry) -> None:
    cell = _make(entry)
    assert (cell.recurs_through == "output") == (cell.initial_state((B,)) == ())


def test_option_has_a_text_and_a_default(entry: Entry) -> None:
    assert entry.summary.endswith((".", ":"))
    assert entry.equation
    assert [o.name for o in entry.options if not o.doc or o.default == "???"] == []
