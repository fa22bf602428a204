"""What was found out about a cell is not found out again at every turn."""

from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.check import Remembered
from rnnexp.registry import Registry
from rnnexp.types import State


def test_training_and_evaluation_take_turns(plugins: Registry) -> None:
    found: list[bool] = []

    def find(cell) -> bool:
        found.append(cell.training)
        return cell.training

    remembered = Remembered(find, lasting=lambda found: False)
    cell = plugins.get("cell", "lstm").cls(3, hidden_size=4)
    for _ in range(3):
        assert remembered.of(cell.train()) is True
        assert remembered.of(cell.eval()) is False
    assert found == [True, False]


def test_another_option_is_found_out_anew_and_old_ones_are_forgotten(plugins: Registry) -> None:
    remembered = Remembered(lambda cell: cell.option, lasting=lambda found: False)
    cell = plugins.get("cell", "lstm").cls(3, hidden_size=4)
    for number in range(10):
        cell.option = number
        assert remembered.of(cell) == number
    assert len(remembered._known[cell]) == 4


def seen() -> tuple[Remembered[int], list[PointwiseCell]]:
    cells: list[PointwiseCell] = []

    def find(cell: PointwiseCell) -> int:
        cells.append(cell)
        return len(cells)

    return Remembered(find, lasting=lambda found: True), cells


def leaky(plugins: Registry, **options: Any) -> PointwiseCell:
    return plugins.get("cell", "leaky").cls(3, hidden_size=4, **options)


def test_a_twin_is_not_examined_again(plugins: Registry) -> None:
    remembered, cells = seen()
    found = [remembered.of(leaky(plugins)), remembered.of(leaky(plugins).eval())]
    assert found == [1, 2]
    assert [remembered.of(leaky(plugins)), remembered.of(leaky(plugins).eval())] == found
    assert len(cells) == 2


class Other(PointwiseCell):
    """Begins as a cell with one gate that only remembers."""

    num_gates = 1

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return state


def patched(cell: PointwiseCell, name: str, value: object) -> PointwiseCell:
    setattr(cell, name, value)
    return cell


NO_TWINS = {
    "another class": lambda: Other(3, hidden_size=4),
    "another size": lambda: Other(3, hidden_size=5),
    "another type": lambda: Other(3, hidden_size=4).double(),
    "a frozen weight": lambda: Other(3, hidden_size=4).requires_grad_(False),
    "another option": lambda: patched(Other(3, hidden_size=4), "option", 1),
    "an option of another type": lambda: patched(Other(3, hidden_size=4), "option", True),
    "a list": lambda: patched(Other(3, hidden_size=4), "option", [1]),
    "the same list": lambda: patched(Other(3, hidden_size=4), "option", [1]),
    "a tensor of its own": lambda: patched(Other(3, hidden_size=4), "option", torch.ones(4)),
    "a module": lambda: patched(Other(3, hidden_size=4), "option", nn.Tanh()),
    "an update of its own": lambda: patched(Other(3, hidden_size=4), "update", lambda *a: a[2]),
}


def test_what_differs_in_anything_is_examined(plugins: Registry) -> None:
    remembered, cells = seen()
    remembered.of(leaky(plugins))
    for number, make in enumerate(NO_TWINS.values(), start=2):
        assert remembered.of(make()) == number
    assert len(cells) == 1 + len(NO_TWINS)


def test_what_may_have_a_passing_cause_is_looked_at_again(plugins: Registry) -> None:
    remembered, cells = seen()
    remembered._lasting = lambda found: False
    assert [remembered.of(leaky(plugins)) for _ in range(2)] == [1, 2]
    assert len(cells) == 2


def test_few_twins_are_kept(plugins: Registry) -> None:
    remembered = Remembered(lambda cell: cell.hidden_size, lasting=lambda found: True)
    for size in range(1, 100):
        assert remembered.of(Other(3, hidden_size=size)) == size
    assert len(remembered._of_twins) == 64
