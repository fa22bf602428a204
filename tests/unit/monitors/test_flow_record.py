"""When the flow goes on record, and what of a sequence that comes in windows."""

import json
import math

import pytest

from rnnexp.monitors.flow_record import FlowRecord
from rnnexp.monitors.passes import Flow, flows_of


class Kept:
    def __init__(self, every: int | None) -> None:
        self.written: list[tuple[int, dict[str, list[float]]]] = []
        self.record = FlowRecord(every, lambda norms, step: self.written.append((step, norms)))

    def run(self, steps: range, windows: int, size: int = 2, accumulate: int = 1) -> None:
        for done in steps:
            for number in range(done * accumulate, (done + 1) * accumulate):
                begin = number % windows * size
                if self.record.wants(done, begin):
                    norms = {"layer0": [float(number + 1)] * size}
                    self.record.note(Flow(begin, windows * size - begin - size, 0, norms))
            self.record.finish(done + 1)

    def take(self, step: int, *flows: Flow) -> dict[str, float]:
        for flow in flows:
            self.record.note(flow)
        return self.record.finish(step)


def flow(begin: int, after: int, norms: dict[str, list[float]]) -> Flow:
    """What a loss on the last step alone gives, of cells whose state is h."""
    return Flow(begin, after, 0, norms, {}, norms)


def test_whole_sequences_are_recorded_every_so_many_steps() -> None:
    kept = Kept(4)
    kept.run(range(10), windows=1)
    assert [step for step, _ in kept.written] == [1, 5, 9]
    none = Kept(None)
    none.run(range(10), windows=1)
    assert none.written == []


@pytest.mark.parametrize("windows", [2, 3, 5])
def test_a_sequence_in_windows_is_recorded_whole(windows: int) -> None:
    kept = Kept(10)
    kept.run(range(61), windows)
    assert len(kept.written) >= 5
    for step, norms in kept.written:
        assert step % windows == 0, "complete with the last window"
        first = step - windows + 1
        assert norms["layer0"] == [float(first + i // 2) for i in range(2 * windows)]


@pytest.mark.parametrize("every", [1, 10])
@pytest.mark.parametrize(("windows", "accumulate"), [(3, 2), (2, 3), (3, 4), (5, 3), (2, 5)])
def test_windows_of_a_step_that_are_of_other_sequences_are_no_part_of_it(
    windows: int, accumulate: int, every: int
) -> None:
    kept = Kept(every)
    kept.run(range(90), windows, accumulate=accumulate)
    assert len(kept.written) >= 7
    for step, found in kept.written:
        numbers = range(1, step * accumulate + 1)
        ended = [numbers[i : i + windows] for i in range(0, len(numbers) - windows + 1, windows)]
        # The last that has ended, or the last few: as many rows at each place.
        wanted = [
            [math.hypot(*at) for at in zip(*ended[-count:], strict=True) for _ in range(2)]
            for count in (1, 2)
        ]
        assert found["layer0"] in (pytest.approx(wanted[0]), pytest.approx(wanted[1]))


def test_rows_of_a_whole_sequence_more_are_those_of_the_same_batch() -> None:
    kept = Kept(1)
    assert kept.record.wants(0, 0)
    kept.take(1, *(Flow(begin, 1 - begin, 0, {"layer0": [3.0 + begin]}) for begin in (0, 1) * 2))
    ((_, norms),) = kept.written
    assert norms["layer0"] == pytest.approx([3 * math.sqrt(2), 4 * math.sqrt(2)])


def test_its_figures_are_those_of_the_window_with_the_largest_norm() -> None:
    kept = Kept(1)
    assert kept.record.wants(0, 0)
    assert kept.take(1, flow(0, 2, {"layer0": [1.0, 2.0]})) == {}
    figures = kept.take(2, flow(2, 0, {"layer0": [0.5, 50.0]}))
    assert figures["flow/vanishing_log10"] == pytest.approx(-2)
    assert figures["flow/half_life"] == pytest.approx(1 / math.log2(100))


def test_the_figures_of_a_reverse_cell_are_in_its_own_direction_of_time() -> None:
    kept = Kept(1)
    falling = [1e-2, 1e-1, 1.0]
    assert kept.record.wants(0, 0)
    norms = {"layer0": falling, "layer0_reverse": falling[::-1]}  # in the order of the sequence
    figures = kept.take(1, flow(0, 0, norms))
    for cell in norms:
        assert figures[f"flow/vanishing_log10_{cell}"] == pytest.approx(-2)
        assert figures[f"flow/half_life_{cell}"] == pytest.approx(1 / math.log2(10))
    assert kept.written == [(1, norms)]


def test_only_where_nothing_arrives_a_constant_stands_for_it() -> None:
    kept = Kept(1)
    for step, (grad, figure) in enumerate([(1e-119, -119.0), (0.0, -45.0)], 1):
        assert kept.record.wants(step - 1, 0)
        figures = kept.take(step, flow(0, 0, {"layer0": [grad, 1.0]}))
        assert figures["flow/vanishing_log10"] == pytest.approx(figure)


def test_the_figures_are_of_what_arrives() -> None:
    kept = Kept(1)
    assert kept.record.wants(0, 0)
    figures = kept.take(1, Flow(0, 0, 0, {"layer0": [9.0, 9.0]}, {}, {"layer0": [1e-3, 1.0]}))
    assert figures["flow/vanishing_log10"] == pytest.approx(-3)
    assert kept.record.wants(1, 0)
    assert kept.take(2, Flow(0, 0, 0, {"layer0": [1.0, 2.0]})) == {}
    assert len(kept.written) == 2


def test_rows_of_two_passes_are_joined_in_all_that_is_known() -> None:
    one = {"layer0": [3.0]}, {"layer0": [0.3]}, {"layer0": [30.0]}
    two = {"layer0": [4.0]}, {"layer0": [0.4]}, {}
    (joined,) = flows_of([Flow(0, 0, 0, *one), Flow(0, 0, 0, *two)])
    assert joined.norms["layer0"] == pytest.approx([5.0])
    assert joined.entering["layer0"] == pytest.approx([0.5])
    assert joined.arriving == {}


def test_a_half_record_of_an_older_checkpoint_goes_on() -> None:
    old = {"begin": 0, "after": 1, "seed": 0, "norms": {"layer0": [1.0]}}
    kept = Kept(1)
    kept.record.load_state_dict({"next": 1, "parts": [old], "every": 1})
    assert kept.take(2, flow(1, 0, {"layer0": [0.5]})) == {}, "the largest is of before"
    assert kept.written == [(2, {"layer0": [1.0, 0.5]})]


@pytest.mark.parametrize(("accumulate", "amid"), [(1, 17), (2, 16)])
def test_what_was_joined_survives_a_resume(accumulate: int, amid: int) -> None:
    whole, before, after = Kept(7), Kept(7), Kept(7)
    whole.run(range(40), 3, accumulate=accumulate)
    before.run(range(amid), 3, accumulate=accumulate)
    assert before.record.is_open
    after.record.load_state_dict(json.loads(json.dumps(before.record.state_dict())))
    after.run(range(amid, 40), 3, accumulate=accumulate)
    assert before.written + after.written == whole.written


def test_where_nothing_is_shown_nothing_is_recorded() -> None:
    kept = Kept(2)
    assert kept.record.wants(0, 0)
    assert kept.take(1, Flow(0, 0, 0, {})) == {}
    assert not kept.record.is_open
    assert kept.written == []


def test_another_pace_counts_from_where_a_run_goes_on() -> None:
    before, after = Kept(1000), Kept(5)
    before.run(range(3), windows=1)
    after.record.load_state_dict(before.record.state_dict())
    after.run(range(3, 14), windows=1)
    assert [step for step, _ in after.written] == [4, 6, 11]
    same = Kept(1000)
    same.record.load_state_dict(before.record.state_dict())
    same.run(range(3, 14), windows=1)
    assert same.written == []


def test_a_sequence_that_is_given_up_is_no_part_of_the_next() -> None:
    before, after = Kept(1), Kept(1)
    before.run(range(2), windows=3)  # two of three windows of two steps
    after.record.load_state_dict(before.record.state_dict())
    after.run(range(4, 6), windows=2, size=3)
    assert after.written == [(6, {"layer0": [5.0] * 3 + [6.0] * 3})]


def test_windows_with_other_ends_are_no_rows_of_one_place() -> None:
    flows = [Flow(0, 4, 1, {"layer0": [1.0, 2.0]}), Flow(0, 3, 2, {"layer0": [1.0, 5.0, 3.0]})]
    assert [flow.seed for flow in flows_of(flows)] == [2, 1]
