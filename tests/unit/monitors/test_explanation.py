import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from rnnexp.monitors.events import CliffEvent, append_event
from rnnexp.monitors.explanation import (
    TEXT,
    cause_of,
    explain,
    origin_of,
    with_cause,
    write_explanations,
)
from rnnexp.monitors.passes import Flow
from rnnexp.monitors.usual import Usual

EVENT = CliffEvent(
    step=80,
    kind="spike",
    loss_before=2.0,
    loss_after=None,
    raw_norm=100.0,
    clipped_norm=1.0,
    median=1.0,
    ratio=100.0,
    group="recurrent",
    layer=0,
    time_step=1,
    grad_norm_T=(40.0, 7.6, 0.4, 0.0),
    lr=0.1,
    batch_seed=7,
    cell="layer0",
    control_norms=(1.2, 0.9, 1.1),
    loss_median=1.0,
    usual_step=71,
    usual_source=0.4,
    usual_peak=0.8,
    usual_source_sum=0.4,
    usual_sum=2.0,
    source=0.4,
    source_sum=0.4,
)


@pytest.mark.parametrize(
    ("control", "cause"),
    [
        ((1.2, 0.9, 1.1), "batch"),
        ((1.2, 0.9, 90.0), "batch"),
        ((90.0, 80.0, 1.0), "weights"),
        ((400.0,), "weights"),
        ((math.inf, math.nan, 1.0), "weights"),
        ((10.0, 10.0, 10.0), "both"),
        ((0.0,), "batch"),
        ((), None),
    ],
)
def test_batch_or_weights(control: tuple[float, ...], cause: str | None) -> None:
    assert cause_of(replace(EVENT, control_norms=control)) == cause


@pytest.mark.parametrize(
    ("control", "cause", "told"),
    [
        ((1.0,), "batch", "of the step before have 1 with"),
        ((math.nan,), "weights", "of the step before have no finite loss and gradient with"),
    ],
)
@pytest.mark.parametrize("norm", [math.nan, 1.14e21])
def test_of_a_loss_or_gradient_that_is_not_finite(
    norm: float, control: tuple[float, ...], cause: str, told: str
) -> None:
    event = replace(EVENT, kind="nonfinite", loss_before=math.inf, control_norms=control)
    event = replace(event, raw_norm=norm, median=math.nan)
    assert cause_of(event) == cause
    text = explain(with_cause(event))
    assert told in text
    assert ("The largest part is of" in text) == math.isfinite(norm)
    height = "gradient norm nan." if math.isnan(norm) else "loss inf, gradient norm 1.14e+21."
    assert text.startswith(f"Step 80: {height}")


@pytest.mark.parametrize(
    ("source", "norms", "origin"),
    [
        (0.4, (40.0, 4.0, 0.4, 0.0), "time"),
        (0.4, (0.4,) * 60, "time"),  # it is nowhere larger than usual, and arrives everywhere
        (40.0, (80.0, 60.0, 40.0), "outputs"),
        (40.0, (0.0, 40.0, 0.4), "outputs"),  # it enters amid the sequence
        (4.0, (100.0, 80.0, 4.0), "both"),
        (0.4, (3.0, 0.5, 0.4), None),
        (0.0, (0.0, 0.0), None),
        (1.0, (math.nan, 1.0), None),
        (math.inf, (40.0, 1.0), None),
        (math.nan, (40.0, 1.0), None),
        (math.nan, (), None),
    ],
)
def test_grown_in_time_or_larger_from_the_start(
    source: float, norms: tuple[float, ...], origin: str | None
) -> None:
    event = replace(EVENT, source=source, source_sum=source, grad_norm_T=norms)
    assert origin_of(event) == origin


def test_errors_that_are_usual_at_one_step_and_now_at_all_are_of_the_outputs() -> None:
    event = replace(EVENT, source=0.4, source_sum=24.0, grad_norm_T=(2.0,) * 60)
    assert origin_of(event) == "outputs"


def test_of_an_event_that_does_not_know_what_enters_the_place_is_told() -> None:
    record = json.loads(EVENT.to_json())
    for key in ("source_sum", "usual_sum", "usual_source_sum"):
        del record[key]
    without_sums = replace(CliffEvent.from_record(record), origin="time")
    told = explain(without_sums)
    assert "to t=1; at step 71 it was 0.4 and grew 2-fold: the cliff is one of the rec" in told
    assert origin_of(without_sums) is None
    del record["source"]
    told = explain(replace(CliffEvent.from_record(record), origin="time"))
    assert " ||dL/dh_t|| of layer0 is largest at t=1. The loss" in told
    assert "recurrence" not in told


def test_what_an_older_checkpoint_took_for_a_source_is_not_compared_with() -> None:
    usual = Usual()
    usual.note_flow(7, [Flow(0, 0, 0, {"layer0": [1.0, 3.0]}, {"layer0": [0.5, 2.0]})])
    assert usual.ends_of("layer0", 0) == (7, 2.0, 3.0, 2.5, 4.0)
    again, old = Usual(), Usual()
    again.load_state_dict(json.loads(json.dumps(usual.state_dict())))
    assert again.ends_of("layer0", 0) == (7, 2.0, 3.0, 2.5, 4.0)
    again.load_state_dict({"losses": [], "sources": {"layer0@0": [7, 2.0, 3.0]}})
    assert repr(again.ends_of("layer0", 0)[3:]) == "(nan, nan)", "the sums were not kept then"
    old.load_state_dict({"losses": [], "ends": {"layer0@0": [7, 3.0, 3.0]}})
    assert old.ends_of("layer0", 0) is None


def test_in_words() -> None:
    assert explain(with_cause(EVENT)) == (
        "Step 80: gradient norm 100, 100 times its median, clipped to 1. "
        "The largest part is of layer0.recurrent. "
        "||dL/dh_t|| of layer0 is at most 0.4 as it enters and grows 100-fold on its way back, to "
        "t=1, and is in sum over t 120 times what enters; at step 71 it was 0.4 and grew 2-fold, "
        "and was in sum 5 times that: the cliff is one of the recurrence. "
        "The loss is 2, 2 times its median. "
        "The batches of the 3 steps before have 1.1 with the same weights: the cause is this batch."
    )


def test_what_is_not_known_is_not_said() -> None:
    event = replace(
        EVENT, grad_norm_T=(), source=math.nan, time_step=None, cell="", layer=None, group="readout"
    )
    event = replace(event, control_norms=(), loss_median=math.nan, clipped_norm=100.0)
    assert explain(with_cause(event)) == (
        "Step 80: gradient norm 100, 100 times its median. The largest part is of readout."
    )
    beside = replace(event, group="task")
    assert explain(beside).endswith("The largest part is of task.")


def test_all_of_a_run_in_a_file(tmp_path: Path) -> None:
    assert write_explanations(tmp_path) == ""
    assert not (tmp_path / TEXT).exists()
    for event in (replace(EVENT, step=3, raw_norm=1e5), EVENT):
        append_event(tmp_path, event)
    assert write_explanations(tmp_path).startswith("Step 3: gradient norm 1e+05")
    text = (tmp_path / TEXT).read_text()
    assert [line[:8] for line in text.split("\n\n")] == ["Step 3: ", "Step 80:", ""]


def test_of_what_never_was_usual_nothing_is_said() -> None:
    event = replace(EVENT, usual_source=math.nan, usual_peak=0.0, cell="", grad_norm_T=(1.02, 1.0))
    event = replace(event, source=1.0, source_sum=math.nan, control_norms=(math.nan, math.inf))
    told = explain(with_cause(event))
    assert (
        "||dL/dh_t|| is at most 1 as it enters and does not grow on its way back. The loss" in told
    )
    assert "of the 2 steps before have no finite loss and gradient with the same" in told


def test_a_cliff_that_was_taken_back_is_in_no_file(tmp_path: Path) -> None:
    (tmp_path / TEXT).write_text("Step 5: a cliff.")
    assert write_explanations(tmp_path) == ""
    assert (tmp_path / TEXT).read_text() == ""


def test_what_does_not_grow_has_no_factor() -> None:
    event = replace(EVENT, grad_norm_T=(0.1, 40.0), source=40.0, usual_peak=0.4, time_step=2)
    told = explain(with_cause(replace(event, source_sum=40.0)))
    assert "is at most 40 as it enters and does not grow on its way back, and is in sum" in told
    assert "it was 0.4 and did not grow, and was in sum 5 times that: the cliff is " in told
    assert "one of the error at the outputs." in told
