"""Cliffs where steps take turns through windows of different gradients."""

import json
import math

import numpy as np
import pytest

from rnnexp.monitors.cliffs import CliffDetector
from rnnexp.monitors.cliffs_by_window import WindowedDetector

WINDOWS = (0, 25, 50)


def told(norms, places=WINDOWS, detector=None) -> list[int]:
    detector = detector or WindowedDetector()
    found = (detector.observe(i, n, places[i % len(places)]) for i, n in enumerate(norms))
    return [cliff.step for cliff in found if cliff is not None]


def turns(steps: int = 300) -> np.ndarray:
    """Norms whose third window is two hundred times as hard as the others."""
    norms = np.exp(np.random.default_rng(0).normal(0, 0.2, steps))
    norms[2::3] *= 200
    return norms


def test_a_window_that_is_always_harder_is_no_cliff() -> None:
    assert len(told(turns(), places=(0,))) > 50, "of one median for all it would be"
    assert told(turns()) == []


@pytest.mark.parametrize("at", [150, 151, 152])
def test_a_spike_is_found_in_every_window(at: int) -> None:
    norms = turns()
    norms[at] *= 50
    assert told(norms) == [at]


@pytest.mark.parametrize("kind", ["spike", "nonfinite"])
def test_steps_in_a_row_are_one_cliff_through_all_windows(kind: str) -> None:
    norms = turns()
    norms[150:156] = norms[150:156] * 50 if kind == "spike" else math.nan
    norms[200] *= 50
    assert told(norms) == [150, 200]


def test_a_far_higher_step_of_a_cliff_is_told_in_any_window() -> None:
    norms = turns()
    norms[150] *= 10
    norms[151] *= 1e6
    assert told(norms) == [150, 151]
    norms[152:156] *= 1e5
    assert told(norms) == [150, 151], "far higher than 150 only"
    norms[160] *= 1e6
    assert told(norms) == [150, 151, 160], "it had ended"


def test_what_was_not_told_in_a_window_hides_nothing() -> None:
    norms = np.ones(300)
    norms[150:155] = [10, 75, 10, 10, 90]  # 75 and 90 in the second window
    assert told(norms) == [150, 154]


def test_an_earlier_cliff_hides_none() -> None:
    norms = np.ones(300)
    norms[90] = 1e6
    norms[150:190:3] = 20  # of the first window, in each of its turns
    norms[191], norms[192] = 20, 1e3
    assert told(norms) == [90, 150, 191, 192]


@pytest.mark.parametrize("seed", range(5))
def test_of_one_window_it_is_the_plain_rule(seed: int) -> None:
    draws = np.random.default_rng(seed)
    norms = np.exp(draws.normal(0, 1.5, 2000))
    norms[draws.integers(0, 2000, 60)] = math.nan
    plain = CliffDetector()
    found = [c.step for c in (plain.observe(i, n) for i, n in enumerate(norms)) if c]
    assert len(found) > 20
    assert told(norms, places=(0,)) == found


def test_goes_on_from_what_was_learned() -> None:
    norms = turns()
    norms[150:153] *= 50
    one = WindowedDetector()
    assert told(norms[:151], detector=one) == [150]
    two = WindowedDetector()
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert two.state_dict() == one.state_dict()
    assert two.observe(151, norms[151], 25) is None, "it began before"


def test_takes_what_older_checkpoints_hold() -> None:
    one, two = WindowedDetector(), WindowedDetector()
    norms = turns()
    assert told(norms[:150], detector=one) == []
    state = one.state_dict()
    del state["told"]
    for place in state["places"].values():
        del place["recent"]
    two.load_state_dict(state)
    found = two.observe(150, 50 * norms[150], 0)
    assert found == one.observe(150, 50 * norms[150], 0)
    assert found is not None
