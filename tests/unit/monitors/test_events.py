import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rnnexp.errors import ConfigError
from rnnexp.files import CLIFFS
from rnnexp.monitors.events import CliffEvent, append_event, load_events

EVENT = CliffEvent(
    step=412,
    kind="spike",
    loss_before=1.39,
    loss_after=4.5,
    raw_norm=812.25,
    clipped_norm=1.0,
    median=2.5,
    ratio=324.9,
    group="recurrent",
    layer=0,
    time_step=3,
    grad_norm_T=(0.1, 812.0, 1e-300),
    lr=0.01,
    batch_seed=71_234_567_890_123_456,
)
BROKEN = replace(
    EVENT,
    kind="nonfinite",
    loss_after=None,
    raw_norm=math.inf,
    ratio=math.nan,
    group="readout",
    layer=None,
    time_step=None,
    grad_norm_T=(math.nan, -math.inf, 2.0),
)


@pytest.mark.parametrize("event", [EVENT, BROKEN])
def test_comes_back_as_it_was(event: CliffEvent) -> None:
    again = CliffEvent.from_json(event.to_json())
    assert repr(again) == repr(event)  # NaN differs from itself
    assert again.grad_norm_T[2] == event.grad_norm_T[2]


def test_is_strict_json_on_one_line() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    values = json.loads(BROKEN.to_json(), parse_constant=refuse)
    assert values["raw_norm"] == "Infinity"
    assert values["grad_norm_T"] == ["NaN", "-Infinity", 2.0]
    assert set(values) == set(asdict(BROKEN))
    assert "\n" not in BROKEN.to_json()


def test_appends_and_loads_in_order(tmp_path: Path) -> None:
    assert load_events(tmp_path) == []
    later = replace(EVENT, step=500)
    assert append_event(tmp_path, EVENT) == tmp_path / CLIFFS
    append_event(tmp_path, later)
    assert load_events(tmp_path) == [EVENT, later]


def test_half_a_line_is_lost_alone(tmp_path: Path) -> None:
    append_event(tmp_path, EVENT)
    with (tmp_path / CLIFFS).open("a") as file:
        file.write(EVENT.to_json()[:40])
    assert load_events(tmp_path) == [EVENT]
    append_event(tmp_path, replace(EVENT, step=9))
    assert [event.step for event in load_events(tmp_path)] == [412, 9]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"step": 1}', EVENT.to_json()[:-1] + ', "x": 1}']
)
def test_refuses_what_is_no_event(text: str) -> None:
    with pytest.raises(ConfigError, match="Not a cliff event"):
        CliffEvent.from_json(text)
