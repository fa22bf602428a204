"""What was found out about a cell is not found out again at every turn."""

from rnnexp.recurrence.check import Remembered
from rnnexp.registry import Registry


def test_training_and_evaluation_take_turns(plugins: Registry) -> None:
    found: list[bool] = []

    def find(cell) -> bool:
        found.append(cell.training)
        return cell.training

    remembered = Remembered(find)
    cell = plugins.get("cell", "lstm").cls(3, hidden_size=4)
    for _ in range(3):
        assert remembered.of(cell.train()) is True
        assert remembered.of(cell.eval()) is False
    assert found == [True, False]


def test_another_option_is_found_out_anew_and_old_ones_are_forgotten(plugins: Registry) -> None:
    remembered = Remembered(lambda cell: cell.option)
    cell = plugins.get("cell", "lstm").cls(3, hidden_size=4)
    for number in range(10):
        cell.option = number
        assert remembered.of(cell) == number
    assert len(remembered._known[cell]) == 4
