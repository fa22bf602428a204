"""A cell that looks its inputs up in a table: every backend takes whole numbers, as the loop."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnexp.app.config.probe import try_step
from rnnexp.cells import PointwiseCell
from rnnexp.errors import ConfigError, PluginError
from rnnexp.recurrence import RecurrentNetwork, choose_backend, unroll
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.types import State

WORDS, WIDTH, UNITS = 5, 3, 4


class Embedded(PointwiseCell):
    """Reads numbers of words in the first layer, which it takes as they are."""

    num_gates = 1

    def __init__(self, input_size: int, **options: Any) -> None:
        first = input_size == 1
        super().__init__(WIDTH if first else input_size, **options)
        self.input_size = input_size
        self.table = nn.Embedding(WORDS, WIDTH) if first else None

    def project_input(self, x_BI: Tensor) -> Tensor:
        return super().project_input(x_BI if self.table is None else self.table(self.index(x_BI)))

    def index(self, x_BI: Tensor) -> Tensor:
        return x_BI.squeeze(-1)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)


class Converted(Embedded):
    """Makes whole numbers of what it is given."""

    def index(self, x_BI: Tensor) -> Tensor:
        return super().index(x_BI).long()


def results(kind: type[Embedded], backend: str, **options: Any) -> list[Tensor]:
    torch.manual_seed(0)
    network = RecurrentNetwork(
        lambda size: kind(size, hidden_size=UNITS), 1, 2, backend=backend, **options
    )
    outputs, _ = network(torch.arange(7 * 2).remainder(WORDS).view(7, 2, 1))
    outputs.square().sum().backward()
    return [outputs.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]


@pytest.mark.parametrize("kind", [Embedded, Converted])
@pytest.mark.parametrize("backend", ["auto", "native", "pointwise"])
def test_every_backend_equals_the_loop(kind: type[Embedded], backend: str) -> None:
    if backend == "native" and find_compiler() is None:
        pytest.skip("there is no C compiler")
    both = {"layers": 2, "bidirectional": True}
    for options in ({}, both, {"checkpoint_every": 3}):
        mine, loop = results(kind, backend, **options), results(kind, "loop", **options)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(mine, loop, strict=True))


@pytest.mark.parametrize("kind", [Embedded, Converted])
def test_a_first_step_is_tried_with_what_it_takes(kind: type[Embedded]) -> None:
    cell = kind(1, hidden_size=UNITS)
    try_step("embedded", cell, 1)
    cell.input_size = WIDTH
    with pytest.raises(PluginError, match=f"made for 1 inputs, and its input_size is {WIDTH}"):
        try_step("embedded", cell, 1)
    cell.input_size = 1
    fast = "native" if find_compiler() else "pointwise"
    assert choose_backend(cell) == fast


class Doubled(Embedded):
    def project_input(self, x_BI: Tensor) -> Tensor:
        return super().project_input(x_BI).double() if x_BI.sum() else super().project_input(x_BI)


@pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")
def test_a_product_of_another_type_is_refused() -> None:
    cell = Doubled(1, hidden_size=UNITS)
    with pytest.raises(ConfigError, match=r"project_input: expected torch.float32 .* got"):
        unroll(cell, torch.ones(3, 2, 1, dtype=torch.int64), backend="native")
