"""Hooks of parameters and cached parametrizations see what the user runs, and nothing else."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rnnexp.recurrence import unroll
from rnnexp.recurrence.native.build import find_compiler

from .subjects import Peephole, draw, weigh

NATIVE = pytest.param(
    "native", marks=pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")
)
BACKENDS = pytest.mark.parametrize("backend", ["auto", NATIVE, "pointwise", "loop"])


def peephole(units: int) -> Peephole:
    torch.manual_seed(0)
    return Peephole(3, hidden_size=units)


def loss_of(cell: Any, backend: str) -> Tensor:
    inputs, state = draw(cell, 4, (2,))
    run = unroll(cell, inputs, state, backend=backend)
    return weigh([run.outputs_TBH, *run.state])


@BACKENDS
def test_a_hook_sees_one_gradient_and_no_examination(backend: str) -> None:
    cell = peephole(17 + len(backend))  # no twin of it has been examined
    seen: dict[str, list[Tensor]] = {}
    for name, parameter in cell.named_parameters():
        if parameter.requires_grad:
            grads = seen[name] = list[Tensor]()
            parameter.register_hook(lambda grad, grads=grads: grads.append(grad) or 0.5 * grad)
    loss = loss_of(cell, backend)
    assert not any(seen.values()), "called by what only looks at the cell"
    loss.backward()
    other = peephole(17 + len(backend))
    loss_of(other, "loop").backward()
    for name, grads in seen.items():
        assert len(grads) == 1, name
        wanted = 0.5 * other.get_parameter(name).grad
        torch.testing.assert_close(cell.get_parameter(name).grad, wanted, rtol=1e-4, atol=1e-5)


class Doubled(nn.Module):
    """A parametrization."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


@BACKENDS
@pytest.mark.parametrize("inside", [False, True], ids=["backward outside", "backward inside"])
def test_a_cached_weight_has_its_gradient(backend: str, inside: bool) -> None:
    cells = [peephole(27 + 2 * len(backend) + inside) for _ in range(2)]
    for cell in cells:
        for name in ("weight_hh", "peep"):
            parametrize.register_parametrization(cell, name, Doubled())
    with parametrize.cached():
        # By two runs: what the first leaves in the cache is what the second computes with.
        loss = loss_of(cells[0], backend) + loss_of(cells[0], "loop")
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    (2 * loss_of(cells[1], "loop")).backward()
    for one, other in zip(*(cell.parameters() for cell in cells), strict=True):
        if one.requires_grad:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
