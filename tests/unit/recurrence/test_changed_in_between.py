"""A cell that is changed between its forward and its backward pass."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from rnnexp.cells import PointwiseCell
from rnnexp.errors import ConfigError
from rnnexp.recurrence import choose_backend, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import Registry
from rnnexp.types import State


class Slope(nn.Module):
    """Another number in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1.5 if self.training else 1.0)


class Leak(PointwiseCell):
    """Its update reads a buffer, a number, a list, whether it trains, and a module below it."""

    leak: Tensor
    num_gates = 1

    def __init__(self) -> None:
        super().__init__(3, hidden_size=5)
        self.register_buffer("leak", torch.full((1,), 0.3))
        self.register_buffer("unused", None)
        self.rate, self.scales, self.below = 0.4, [1.0, 0.5], Slope()

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        z_BH = (wx_BGH + rh_BGH).squeeze(-2) * (2.0 if self.training else 1.0)
        n_BH = torch.tanh(self.below(z_BH) * self.leak * self.scales[0])
        return ((1 - self.leak) * state[0] + self.rate * n_BH,)


CHANGES: dict[str, Callable[[Any], object]] = {
    "a buffer is written": lambda cell: cell.leak.fill_(0.9),
    "a buffer is another": lambda cell: setattr(cell, "leak", torch.full((1,), 0.9)),
    "a number": lambda cell: setattr(cell, "rate", 0.9),
    "evaluation": lambda cell: cell.eval(),
    "a module is another": lambda cell: setattr(cell, "below", nn.Tanh()),
}


def gradients(backend: str, change: Callable[[Any], object] = lambda cell: None) -> list[Tensor]:
    torch.manual_seed(0)
    cell = Leak()
    outputs_TBH = unroll(cell, torch.randn(7, 4, 3), backend=backend).outputs_TBH
    change(cell)
    outputs_TBH.square().sum().backward()
    return [p.grad for p in cell.parameters() if p.grad is not None]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("backend", ["native", "pointwise"])
def test_the_gradient_is_of_what_ran(backend: str, change: Callable[[Any], object]) -> None:
    if backend == "native" and reason_against("native", Leak()) is not None:
        pytest.skip("there is no C compiler")
    torch.testing.assert_close(gradients(backend, change), gradients("loop"))


def test_what_cannot_be_kept_as_it_was_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Leak holds was changed between .*backend=loop"):
        gradients("pointwise", lambda cell: cell.scales.append(0.1))


def test_a_buffer_that_each_pass_writes_is_none_of_the_updates(plugins: Registry) -> None:
    torch.manual_seed(0)
    cell = parametrizations.spectral_norm(plugins.get("cell", "leaky").cls(3), "weight_hh")
    runs = [unroll(cell, torch.randn(4, 2, 3), backend="pointwise").outputs_TBH for _ in range(2)]
    torch.stack(runs).sum().backward()
    assert all(p.grad is not None for p in cell.parameters())


@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("name", ["elman", "gru", "leaky"])
def test_complex_weights_run_by_their_steps(plugins: Registry, name: str) -> None:
    torch.manual_seed(0)
    cell = plugins.get("cell", name).cls(3, hidden_size=5).to(torch.complex128)
    inputs_TBI = torch.randn(6, 4, 3, dtype=torch.complex128)
    assert "complex" in str(reason_against("pointwise", cell))
    assert choose_backend(cell, needed="norms") == "loop"
    found, wanted = (
        torch.autograd.grad(
            unroll(cell, inputs_TBI, backend=backend).outputs_TBH.abs().square().sum(),
            [*cell.parameters()],
        )
        for backend in ("auto", "loop")
    )
    torch.testing.assert_close(found, wanted)
