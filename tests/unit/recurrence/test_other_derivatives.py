"""Derivatives that are no plain gradient: the loop has them, the fast backends say so."""

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.functional import jacobian
from torch.func import vmap

from rnnexp.cells import Cell
from rnnexp.discovery import load_plugins
from rnnexp.errors import ConfigError
from rnnexp.recurrence import choose_backend, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import REGISTRY

load_plugins()
FAST = ("native", "pointwise", "scan")


def cell_of(name: str) -> Cell:
    torch.manual_seed(0)
    return REGISTRY.get("cell", name).cls(3, hidden_size=4)


PAIRS = [
    (name, backend)
    for name in ("gru", "lstm", "min_gru")
    for backend in FAST
    if reason_against(backend, cell_of(name)) is None
]
each = pytest.mark.parametrize(("name", "backend"), PAIRS)


def batched(outputs_TBH: Tensor, inputs_TBI: Tensor) -> Tensor:
    many = torch.ones(2, *outputs_TBH.shape)
    return torch.autograd.grad(outputs_TBH, inputs_TBI, many, is_grads_batched=True)[0]


def mapped(outputs_TBH: Tensor, inputs_TBI: Tensor) -> Tensor:
    many = torch.ones(2, *outputs_TBH.shape)
    return vmap(lambda one: torch.autograd.grad(outputs_TBH, inputs_TBI, one)[0])(many)


@pytest.mark.parametrize("ask", [batched, mapped])
@each
def test_many_gradients_at_once_are_refused_in_words(name: str, backend: str, ask) -> None:
    inputs_TBI = torch.randn(3, 2, 3).requires_grad_()
    outputs_TBH = unroll(cell_of(name), inputs_TBI, backend=backend).outputs_TBH
    with pytest.raises(ConfigError, match=rf"={backend} .* one gradient at a time.*=loop"):
        ask(outputs_TBH, inputs_TBI)


def test_the_loop_gives_many_at_once() -> None:
    cell, inputs_TBI = cell_of("gru"), torch.randn(3, 2, 3)
    found, wanted = (
        jacobian(lambda x: unroll(cell, x, backend="loop").outputs_TBH, inputs_TBI, vectorize=v)
        for v in (True, False)
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")  # of torch itself
@pytest.mark.parametrize("recording", [True, False])
@each
def test_auto_runs_in_forward_mode(name: str, backend: str, recording: bool) -> None:
    cell, inputs_TBI, tangent_TBI = cell_of(name), torch.randn(3, 2, 3), torch.randn(3, 2, 3)
    found: list[Tensor] = []
    with torch.set_grad_enabled(recording), forward_ad.dual_level():
        x_TBI = forward_ad.make_dual(inputs_TBI, tangent_TBI)
        for way in ("auto", "loop"):
            outputs_TBH = unroll(cell, x_TBI, backend=way).outputs_TBH
            found.append(forward_ad.unpack_dual(outputs_TBH).tangent)
        with pytest.raises(ConfigError, match="forward-mode differentiation cannot look into"):
            choose_backend(cell, backend)
    torch.testing.assert_close(*found)
    assert choose_backend(cell, backend) == backend
