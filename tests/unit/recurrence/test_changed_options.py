"""A cell whose options change after its first run: no backend goes on with what was then."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence import unroll
from rnnexp.recurrence.check import Remembered, guard_of
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.types import State


class Act(nn.Module):
    """A nonlinearity with a number that is none of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.slope * x)


class Settings:
    """A plain object."""

    def __init__(self) -> None:
        self.shift = 0.2


class Scaled(PointwiseCell):
    """Its update reads all kinds of options."""

    num_gates = 1
    share = 0.5

    def __init__(self) -> None:
        super().__init__(3, hidden_size=4)
        self.numbers = [1.0, 2.0]
        self.named = {"plus": 0.1}
        self.pair = ([0.5], 1.0)
        self.function: Callable[[Tensor], Tensor] = torch.tanh
        self.settings = Settings()

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        z = self.function((wx_BGH + rh_BGH).squeeze(-2)) + self.named["plus"] + self.settings.shift
        return (sum(self.numbers) * self.share * z + self.pair[0][0] * state[0],)


class Nested(PointwiseCell):
    """Its options are plain; its update reads those of modules below it."""

    num_gates = 1

    def __init__(self) -> None:
        super().__init__(3, hidden_size=4)
        self.act = nn.Sequential(Act(), Act())

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return (self.act((wx_BGH + rh_BGH).squeeze(-2)),)


def _relu(x: Tensor) -> Tensor:
    return torch.relu(x)


CHANGES: dict[str, Callable[[Any], object]] = {
    "an entry of a list": lambda cell: cell.numbers.__setitem__(0, 3.0),
    "another list": lambda cell: setattr(cell, "numbers", [0.1]),
    "an entry of a dict": lambda cell: cell.named.update(plus=2.0),
    "a list in a tuple": lambda cell: cell.pair[0].__setitem__(0, -0.5),
    "a function": lambda cell: setattr(cell, "function", _relu),
    "an attribute of an object": lambda cell: setattr(cell.settings, "shift", 1.0),
}
IN_A_MODULE: dict[str, Callable[[Any], object]] = {
    "its attribute": lambda cell: setattr(cell.act[1], "slope", 3.0),
    "another in its place": lambda cell: cell.act.__setitem__(1, nn.Identity()),
    "another over all": lambda cell: setattr(cell, "act", nn.ReLU()),
}


def changed_and_run(cell: PointwiseCell, change: Callable[[Any], object], backend: str) -> None:
    if backend == "native" and find_compiler() is None:
        pytest.skip("there is no C compiler")
    x_TBI = torch.randn(5, 2, 3)
    before = unroll(cell, x_TBI, backend="loop").outputs_TBH
    for _ in range(2):
        torch.testing.assert_close(unroll(cell, x_TBI, backend=backend).outputs_TBH, before)
    change(cell)
    wanted = unroll(cell, x_TBI, backend="loop").outputs_TBH
    assert not torch.allclose(wanted, before)
    torch.testing.assert_close(unroll(cell, x_TBI, backend=backend).outputs_TBH, wanted)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("backend", ["auto", "native", "pointwise"])
def test_what_changes_is_seen(change: str, backend: str) -> None:
    changed_and_run(Scaled(), CHANGES[change], backend)


@pytest.mark.parametrize("change", IN_A_MODULE)
@pytest.mark.parametrize("backend", ["auto", "native", "pointwise"])
def test_what_changes_in_a_module_below_is_seen(change: str, backend: str) -> None:
    changed_and_run(Nested(), IN_A_MODULE[change], backend)


def test_a_module_that_comes_later_is_seen() -> None:
    cell = Nested()
    del cell.act
    remembered = Remembered(lambda cell: len(list(cell.children())), lasting=lambda found: True)
    cell.option = 1.0
    assert [remembered.of(cell) for _ in range(2)] == [0, 0]
    cell.act = nn.Tanh()
    assert remembered.of(cell) == 1


def test_what_has_not_changed_is_not_examined_again() -> None:
    for cell in (Scaled(), Nested()):
        assert guard_of(cell) == guard_of(cell)


def test_a_new_cell_has_what_its_class_holds_now(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(PointwiseCell):
        """Reads a number of its class."""

        num_gates = 1
        share = 0.5

        def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
            return (self.share * torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)

    x_TBI = torch.randn(5, 2, 3)
    unroll(Plain(3, hidden_size=4), x_TBI)
    Plain.share = 2.0
    cell = Plain(3, hidden_size=4)
    wanted = unroll(cell, x_TBI, backend="loop").outputs_TBH
    torch.testing.assert_close(unroll(cell, x_TBI).outputs_TBH, wanted)


def test_a_function_that_has_gone_is_no_other() -> None:
    cell = Scaled()
    guards = []
    for _ in range(3):
        cell.function = lambda x: x  # in the memory, maybe, of the one before
        guards.append(guard_of(cell))
    assert guards[0] != guards[1]
    assert guards[1] != guards[2]
    assert guards[2] == guard_of(cell)
