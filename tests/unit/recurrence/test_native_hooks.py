"""The native backend where hooks replace the tensors that a node of the graph saves."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from rnnexp.discovery import load_plugins
from rnnexp.recurrence import Trace, unroll, workspace
from rnnexp.recurrence.native import reason_against
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.registry import REGISTRY

from .subjects import draw, strided, weigh

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")

load_plugins()
CELLS = ["elman", "gru", "leaky", "lstm"]


def make(name: str, units: int = 5) -> Any:
    torch.manual_seed(0)
    cell = REGISTRY.get("cell", name).cls(3, hidden_size=units).double()
    assert reason_against(cell) is None
    return cell


HOOKS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "clone": lambda: saved_tensors_hooks(lambda t: t.clone(), lambda t: t),
    "the same": lambda: saved_tensors_hooks(lambda t: t, lambda t: t),
    "other strides": lambda: saved_tensors_hooks(strided, lambda t: t),
    "save_on_cpu": save_on_cpu,
}


def results(cell: Any, backend: str, hooks: AbstractContextManager[Any] | None) -> list[Any]:
    """Outputs, state, norms, and the gradients found twice by one graph."""
    inputs, state = draw(cell, 6, (3,))
    trace = Trace()
    if hooks is None:
        run = unroll(cell, inputs, state, backend=backend, trace=trace)
    else:
        with hooks:
            run = unroll(cell, inputs, state, backend=backend, trace=trace)
    found = [run.outputs_TBH, *run.state]
    leaves = [inputs, *state, *cell.parameters()]
    for kept in (True, False):
        found += torch.autograd.grad(weigh(found[: 1 + len(state)]), leaves, retain_graph=kept)
    return [*found, trace.grad_norm_T]


@pytest.mark.parametrize("hooks", HOOKS)
@pytest.mark.parametrize("name", CELLS)
def test_the_gradients_are_those_of_the_loop(name: str, hooks: str) -> None:
    cell = make(name)
    mine = results(cell, "native", HOOKS[hooks]())
    torch.testing.assert_close(mine, results(cell, "loop", None))


@pytest.mark.parametrize("name", CELLS)
def test_hooks_change_no_bit(name: str) -> None:
    cell = make(name)
    mine = results(cell, "native", HOOKS["clone"]())
    theirs = results(cell, "native", None)
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_what_hooks_hold_is_not_overwritten() -> None:
    held: list[Tensor] = []
    cell = make("lstm")
    hooks = saved_tensors_hooks(lambda t: held.append(t) or t, lambda t: t)
    with hooks:
        loss = unroll(cell, draw(cell, 6, (3,))[0], backend="native").outputs_TBH.sum()
    before = [t.detach().clone() for t in held]
    loss.backward()
    unroll(cell, draw(cell, 6, (3,))[0], backend="native")
    assert all(torch.equal(a, b) for a, b in zip(before, held, strict=True))


@pytest.mark.parametrize("every", [1, 4, 7])
@pytest.mark.parametrize("name", CELLS)
def test_segments_have_the_gradients_of_the_whole(name: str, every: int) -> None:
    cell = make(name)
    found = []
    for checkpoint_every in (None, every):
        inputs, state = draw(cell, 16, (3,))
        run = unroll(cell, inputs, state, backend="native", checkpoint_every=checkpoint_every)
        loss = weigh([run.outputs_TBH, *run.state])
        found.append(torch.autograd.grad(loss, [inputs, *state, *cell.parameters()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)


def bytes_between_the_passes(cell: Any, backend: str, every: int | None) -> int:
    """What a run holds beside its results when it has gone forward."""
    inputs = torch.randn(256, 32, 3, dtype=torch.float64)
    unroll(cell, inputs[:1], backend=backend)
    with torch.profiler.profile(profile_memory=True) as seen:
        run = unroll(cell, inputs, backend=backend, checkpoint_every=every)
    held = sum(event.self_cpu_memory_usage for event in seen.key_averages())
    assert run.outputs_TBH.grad_fn is not None
    return held - run.outputs_TBH.nbytes


@pytest.mark.parametrize("name", CELLS)
def test_segments_hold_as_little_as_the_loop_does(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "_SHELF", workspace._Shelf())
    monkeypatch.setattr(workspace, "_MOST_BYTES", 0)
    cell = make(name, units=16)
    whole, cut = (bytes_between_the_passes(cell, "native", every) for every in (None, 16))
    assert cut < whole / 4
    assert cut <= bytes_between_the_passes(cell, "loop", 16) * 1.5


HIDDEN = {"auto": 23, "native": 24, "pointwise": 25}
"""No other test has them: otherwise what was found out about a twin would do."""


@pytest.mark.parametrize("backend", list(HIDDEN))
def test_a_cell_may_be_seen_for_the_first_time_within_a_checkpoint(backend: str) -> None:
    torch.manual_seed(0)
    cell = REGISTRY.get("cell", "gru").cls(3, hidden_size=HIDDEN[backend]).double()
    x_TBI = torch.randn(4, 2, 3, dtype=torch.double, requires_grad=True)

    def run(x: Tensor) -> Tensor:
        return unroll(cell, x, backend=backend).outputs_TBH

    (mine,) = torch.autograd.grad(checkpoint(run, x_TBI, use_reentrant=False).sum(), x_TBI)
    (plain,) = torch.autograd.grad(run(x_TBI).sum(), x_TBI)
    torch.testing.assert_close(mine, plain, rtol=1e-12, atol=0)
