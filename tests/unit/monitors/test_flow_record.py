"""When the flow goes on record, and what of a sequence that comes in windows."""

import json
import math

import pytest

from rnnexp.monitors.flow_record import FlowRecord
from rnnexp.monitors.passes import Flow


class Kept:
    def __init__(self, every: int | None) -> None:
        self.written: list[tuple[int, dict[str, list[float]]]] = []
        self.record = FlowRecord(every, lambda norms, step: self.written.append((step, norms)))
        self.figures: list[dict[str, float]] = []

    def run(self, steps: range, windows: int, size: int = 2) -> None:
        for done in steps:
            begin, after = done % windows * size, (windows - 1 - done % windows) * size
            norms = {"layer0": [float(done + 1)] * size}
            if self.record.wants(done, begin):
                self.figures.append(self.record.add([Flow(begin, after, 0, norms)], done + 1))


def test_whole_sequences_are_recorded_every_so_many_steps() -> None:
    kept = Kept(4)
    kept.run(range(10), windows=1)
    assert [step for step, _ in kept.written] == [1, 5, 9]
    none = Kept(None)
    none.run(range(10), windows=1)
    assert none.written == none.figures == []


@pytest.mark.parametrize("windows", [2, 3, 5])
def test_a_sequence_in_windows_is_recorded_whole(windows: int) -> None:
    kept = Kept(10)
    kept.run(range(61), windows)
    assert len(kept.written) >= 5
    for step, norms in kept.written:
        assert step % windows == 0, "complete with the last window"
        first = step - windows + 1
        assert norms["layer0"] == [float(first + i // 2) for i in range(2 * windows)]


def test_its_figures_are_those_of_the_window_with_the_largest_norm() -> None:
    kept = Kept(1)
    assert kept.record.wants(0, 0)
    assert kept.record.add([Flow(0, 2, 0, {"layer0": [1.0, 2.0]})], 1) == {}
    figures = kept.record.add([Flow(2, 0, 0, {"layer0": [0.5, 50.0]})], 2)
    assert figures["flow/vanishing_log10"] == pytest.approx(-2)
    assert figures["flow/half_life"] == pytest.approx(1 / math.log2(100))


def test_the_figures_of_a_reverse_cell_are_in_its_own_direction_of_time() -> None:
    kept = Kept(1)
    falling = [1e-2, 1e-1, 1.0]
    assert kept.record.wants(0, 0)
    norms = {"layer0": falling, "layer0_reverse": falling[::-1]}  # in the order of the sequence
    figures = kept.record.add([Flow(0, 0, 0, norms)], 1)
    for cell in norms:
        assert figures[f"flow/vanishing_log10_{cell}"] == pytest.approx(-2)
        assert figures[f"flow/half_life_{cell}"] == pytest.approx(1 / math.log2(10))
    assert kept.written == [(1, norms)]


def test_what_was_joined_survives_a_resume() -> None:
    whole, before, after = Kept(7), Kept(7), Kept(7)
    whole.run(range(40), windows=3)
    before.run(range(17), windows=3)  # amid a record
    assert before.record.is_open
    after.record.load_state_dict(json.loads(json.dumps(before.record.state_dict())))
    after.run(range(17, 40), windows=3)
    assert before.written + after.written == whole.written


def test_where_nothing_is_shown_nothing_is_recorded() -> None:
    kept = Kept(2)
    assert kept.record.wants(0, 0)
    assert kept.record.add([], 1) == {}
    assert not kept.record.is_open
    assert kept.written == []
