"""What becomes of outputs that somebody changes in place, whichever backend made them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from rnnexp.cells import Cell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import BACKENDS, unroll
from rnnexp.recurrence.backends import reason_against, run_loop
from rnnexp.recurrence.native.cuda.function import unroll_on_gpu
from rnnexp.recurrence.native.cuda.geometry import Limits
from rnnexp.recurrence.native.cuda.kernel import make_gpu_kernel
from rnnexp.recurrence.segments import Run
from rnnexp.registry import REGISTRY

from .gpu_on_cpu import COMPILER, Machine

load_plugins()
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp_": lambda outputs: outputs.clamp_(-0.1, 0.1),
    "dropout": lambda outputs: F.dropout(outputs, 1.0, True, inplace=True),
    "of a part": lambda outputs: outputs[1:].mul_(2),
}


def cell_of(name: str) -> Cell:
    torch.manual_seed(0)
    return REGISTRY.get("cell", name).cls(3, hidden_size=4)


PAIRS = [
    (name, backend)
    for name in ("elman", "gru", "lstm", "jordan", "lru")
    for backend in BACKENDS
    if reason_against(backend, cell_of(name)) is None
]
changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def assert_right_or_noticed(cell: Cell, run: Run, change: Callable[[Tensor], Tensor]) -> None:
    """The change itself is allowed; a gradient that it would spoil is refused."""
    inputs_TBI, state = torch.randn(5, 2, 3), cell.initial_state((2,))
    found = change(run(cell, inputs_TBI, state, None)[0])
    wanted = change(run_loop(cell, inputs_TBI, state)[0])
    torch.testing.assert_close(found, wanted)
    parameters = list(cell.parameters())
    try:
        grads = torch.autograd.grad(found.sum(), parameters)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017  # either is right
    else:
        torch.testing.assert_close(grads, torch.autograd.grad(wanted.sum(), parameters))


@changes
@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_outputs_may_be_changed(
    name: str, backend: str, change: Callable[[Tensor], Tensor]
) -> None:
    assert_right_or_noticed(cell_of(name), BACKENDS[backend].run, change)


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
@changes
def test_outputs_of_a_gpu_may_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]
) -> None:
    Machine(tmp_path, Limits(64, 512, 1, 48 << 10, 4), 2).install(monkeypatch)
    cell = cell_of("lstm")
    kernel = make_gpu_kernel(cell)
    assert_right_or_noticed(cell, lambda *given: unroll_on_gpu(kernel, *given), change)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_a_change_after_the_loss_is_noticed(name: str, backend: str) -> None:
    cell = cell_of(name)
    outputs_TBH = unroll(cell, torch.randn(5, 2, 3), backend=backend).outputs_TBH
    loss = outputs_TBH.square().sum()
    with torch.no_grad():
        outputs_TBH.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("recomputed", [True, False], ids=["checkpoint", "hooks"])
@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_where_hooks_save_a_change_leaves_the_gradient_right(
    name: str, backend: str, recomputed: bool
) -> None:
    cell, inputs_TBI = cell_of(name), torch.randn(5, 2, 3)

    def changed(x_TBI: Tensor) -> Tensor:
        return unroll(cell, x_TBI, backend=backend).outputs_TBH.mul_(2).sin()

    if recomputed:
        found = checkpoint(changed, inputs_TBI, use_reentrant=False)
    else:
        with saved_tensors_hooks(lambda x: x, lambda x: x):
            found = changed(inputs_TBI)
    wanted = (2 * run_loop(cell, inputs_TBI, cell.initial_state((2,)))[0]).sin()
    parameters = list(cell.parameters())
    grads = torch.autograd.grad(found.sum(), parameters)
    torch.testing.assert_close(grads, torch.autograd.grad(wanted.sum(), parameters))


def test_memory_that_is_lent_again_takes_no_gradient_along() -> None:
    cell = cell_of("elman").requires_grad_(False)
    inputs_TBI, factor = torch.randn(300, 32, 3), torch.ones((), requires_grad=True)
    for _ in range(2):
        outputs_TBH = unroll(cell, inputs_TBI, backend="pointwise").outputs_TBH
        assert not outputs_TBH.requires_grad
        outputs_TBH.mul_(factor)
        del outputs_TBH
