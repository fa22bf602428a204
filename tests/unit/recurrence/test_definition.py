"""A class that is changed in place, as IPython's autoreload does, is another one to new cells."""

from collections.abc import Callable
from types import FunctionType

import pytest
import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence import unroll
from rnnexp.recurrence.check import Remembered
from rnnexp.types import State

SCALE = 1.0


def bounded(x: Tensor) -> Tensor:
    return torch.tanh(SCALE * x)


def squared(x: Tensor) -> Tensor:
    return x * x


def squared_update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
    return (squared(self.summed(wx_BGH, rh_BGH)),)


def twice(wx_BGH: Tensor, rh_BGH: Tensor) -> Tensor:
    return 2 * (wx_BGH + rh_BGH).squeeze(-2)


@pytest.fixture
def kind() -> type[PointwiseCell]:
    class Mine(PointwiseCell):
        num_gates = 1

        def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
            return (bounded(self.summed(wx_BGH, rh_BGH)) * self.factor,)

        @staticmethod
        def summed(wx_BGH: Tensor, rh_BGH: Tensor) -> Tensor:
            return (wx_BGH + rh_BGH).squeeze(-2)

        @property
        def factor(self) -> float:
            return 1.0

    return Mine


Change = Callable[[pytest.MonkeyPatch], None]


def recoded(function: object, other: FunctionType) -> Change:
    return lambda patch: patch.setattr(function, "__code__", other.__code__)


CHANGES: dict[str, Callable[[type], Change]] = {
    "the code of update": lambda kind: recoded(vars(kind)["update"], squared_update),
    "the code of a helper": lambda kind: recoded(vars(kind)["summed"].__func__, twice),
    "another helper": lambda kind: lambda p: p.setattr(kind, "summed", staticmethod(twice)),
    "another property": lambda kind: lambda p: p.setattr(kind, "factor", property(lambda c: 2.0)),
    "the code of a function of the file": lambda kind: recoded(bounded, squared),
    "a number of the file": lambda kind: lambda p: p.setitem(globals(), "SCALE", 2.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_cell_made_after_a_change_runs_by_what_is_written_now(
    kind: type[PointwiseCell], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs_TBI = torch.ones(3, 2, 2)
    unroll(kind(2, hidden_size=3), inputs_TBI)
    CHANGES[change](kind)(monkeypatch)
    cell = kind(2, hidden_size=3)
    found = [unroll(cell, inputs_TBI, backend=name).outputs_TBH for name in ("auto", "loop")]
    assert torch.allclose(*found, atol=1e-6)


def test_a_class_that_stays_as_it_is_makes_twins(kind: type[PointwiseCell]) -> None:
    cells: list[PointwiseCell] = []
    remembered = Remembered(lambda cell: cells.append(cell), lasting=lambda found: True)
    for _ in range(3):
        remembered.of(kind(2, hidden_size=3))
    assert len(cells) == 1
