"""The pointwise backend within autograd: what may be asked of it, what is refused, and in words."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.errors import ConfigError
from rnnexp.recurrence import choose_backend, unroll
from rnnexp.recurrence.backends import BACKENDS, auto_order, reason_against
from rnnexp.registry import REGISTRY
from rnnexp.types import State

from .subjects import Peephole, draw, weigh

load_plugins()
SHIPPED = [e.name for e in REGISTRY.all("cell") if issubclass(e.cls, PointwiseCell)]


class SumOfUnits(PointwiseCell):
    """Breaks its promise: units are mixed."""

    num_gates = 1

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        del state
        sum_BH = (wx_BGH + rh_BGH).squeeze(-2)
        return (torch.tanh(sum_BH - sum_BH.mean(-1, keepdim=True)),)


CELLS: dict[str, Callable[..., PointwiseCell]] = {
    **{name: REGISTRY.get("cell", name).cls for name in SHIPPED},
    "Peephole": Peephole,
}
any_cell = pytest.mark.parametrize("name", CELLS)


def make(name: str, inputs: int = 3, hidden: int = 4, dtype: Any = torch.float64) -> PointwiseCell:
    torch.manual_seed(0)
    return CELLS[name](inputs, hidden_size=hidden).to(dtype)


@any_cell
def test_without_gradients_the_values_are_the_same(name: str) -> None:
    cell = make(name)
    x, state = draw(cell, 6, (2,))
    with torch.no_grad():
        quiet = unroll(cell, x, state, backend="pointwise")
    loud = unroll(cell, x, state, backend="loop")
    torch.testing.assert_close(quiet.outputs_TBH, loud.outputs_TBH)
    torch.testing.assert_close(quiet.state, loud.state)
    assert not quiet.outputs_TBH.requires_grad


def test_nothing_wants_a_gradient() -> None:
    cell = make("leaky").requires_grad_(False)
    x, state = draw(cell, 5, (2,))
    run = unroll(cell, x.detach(), tuple(s.detach() for s in state), backend="pointwise")
    assert not run.outputs_TBH.requires_grad


def test_several_forwards_before_one_backward() -> None:
    cell = make("lstm", 8, 32, torch.float32)
    x, _ = draw(cell, 300, (32,))

    def gradient(backend: str) -> Tensor:
        runs = [unroll(cell, x * k, backend=backend).outputs_TBH for k in (1.0, 2.0, 3.0)]
        loss = torch.stack([weigh([run]) for run in runs]).sum()
        return torch.autograd.grad(loss, cell.weight_hh)[0]

    torch.testing.assert_close(gradient("pointwise"), gradient("loop"), rtol=1e-4, atol=1e-2)


def test_backward_twice_through_a_kept_graph() -> None:
    cell = make("lstm", 8, 64, torch.float32)
    x, _ = draw(cell, 200, (32,))
    loss = weigh([unroll(cell, x, backend="pointwise").outputs_TBH])
    first = torch.autograd.grad(loss, x, retain_graph=True)[0].clone()
    unroll(cell, x * 2, backend="pointwise").outputs_TBH.sum().backward()
    assert torch.equal(torch.autograd.grad(loss, x)[0], first)


def test_second_derivative_is_refused() -> None:
    cell = make("gru")
    x, _ = draw(cell, 3, (2,))
    outputs = unroll(cell, x, backend="pointwise").outputs_TBH
    with pytest.raises(ConfigError, match=r"no second derivatives.*unroll\.backend=loop"):
        torch.autograd.grad(outputs.sum(), x, create_graph=True)


@pytest.mark.parametrize("name", SHIPPED)
def test_low_precision(name: str) -> None:
    cell = make(name, 3, 4, torch.float32)
    x, _ = draw(cell, 5, (2,))
    wanted = unroll(cell, x, backend="loop").outputs_TBH
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = unroll(cell, x, backend="pointwise").outputs_TBH
        loss = outputs.sum()
    loss.backward()
    grads = [p.grad for p in cell.parameters() if p.requires_grad]
    assert all(grad is not None and grad.dtype == torch.float32 for grad in grads)
    torch.testing.assert_close(outputs, wanted, rtol=0.1, atol=0.03)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_auto_runs_under_autocast_whatever_the_cpu_knows(name: str, dtype: torch.dtype) -> None:
    cell = make(name, 3, 4, torch.float32)
    x, _ = draw(cell, 5, (2,))
    with torch.autocast("cpu", dtype=dtype):
        outputs = unroll(cell, x).outputs_TBH
    outputs.float().sum().backward()
    wanted = unroll(cell, x, backend="loop").outputs_TBH
    torch.testing.assert_close(outputs.float(), wanted, rtol=0.1, atol=0.03)


@pytest.mark.parametrize("name", ["elman", "gru", "leaky", "lstm"])
def test_half_width_weights(name: str) -> None:
    cell = make(name, 3, 4, torch.float32).to(torch.bfloat16)
    x = torch.randn(5, 2, 3, dtype=torch.bfloat16)
    grads = []
    for backend in ("pointwise", "loop"):
        cell.zero_grad()
        unroll(cell, x, backend=backend).outputs_TBH.sum().backward()
        grads.append(cell.weight_ih.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=0.1, atol=0.1)


def test_auto_takes_the_fastest_where_nothing_can_be_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = replace(BACKENDS["native"], reason_against=lambda cell: "no compiler")
    monkeypatch.setitem(BACKENDS, "native", without)
    assert choose_backend(make("gru")) == "pointwise"
    assert choose_backend(make("Peephole")) == "pointwise"
    assert choose_backend(make("lstm")) == "vendor"
    assert choose_backend(make("lstm"), needed="norms") == "pointwise"
    assert list(auto_order(make("gru"))) != list(auto_order(make("lstm")))


def test_an_update_that_mixes_units_is_refused_and_runs_by_the_loop() -> None:
    cell = SumOfUnits(3, hidden_size=5)
    assert choose_backend(cell) == "loop"
    with pytest.raises(ConfigError, match="no plain elementwise function"):
        unroll(cell, torch.zeros(2, 3, 3), backend="pointwise")


@pytest.mark.parametrize("backend", ["pointwise", "native"])
@pytest.mark.parametrize("name", CELLS)
def test_tensors_may_stand_in_for_the_parameters(name: str, backend: str) -> None:
    reason = reason_against(backend, make(name))
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    x, state = draw(make(name), 5, (2,))
    found = [_by_stand_ins(make(name), x, state, way) for way in (backend, "loop")]
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)
    assert any(bool((grad != 0).any()) for grad in found[0][1:])


def _by_stand_ins(cell: PointwiseCell, x: Tensor, state: State, backend: str) -> list[Tensor]:
    """Outputs, and gradients of a shift of each parameter, the buffers being others too."""
    shifts = {n: torch.full_like(p, 0.1).requires_grad_() for n, p in cell.named_parameters()}
    others = {n: p.detach() + shifts[n] for n, p in cell.named_parameters()}
    others |= {n: 2 * b for n, b in cell.named_buffers()}
    module = Unrolling(cell, backend)
    outputs = functional_call(module, {f"cell.{n}": t for n, t in others.items()}, (x, state))
    grads = torch.autograd.grad(weigh([outputs]), [*shifts.values(), x], materialize_grads=True)
    return [outputs.detach(), *grads]


class Unrolling(nn.Module):
    def __init__(self, cell: PointwiseCell, backend: str) -> None:
        super().__init__()
        self.cell, self.backend = cell, backend

    def forward(self, x: Tensor, state: State) -> Tensor:
        return unroll(self.cell, x, state, backend=self.backend).outputs_TBH


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_first_seen_with_stand_ins_is_judged_as_ever(name: str) -> None:
    cell = make(name)
    x, state = draw(cell, 3, (2,))
    _by_stand_ins(cell, x, state, "pointwise")
    assert reason_against("pointwise", cell) is None
