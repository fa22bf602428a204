"""What a rerun says of its figures beside those of the run it makes again."""

from rnnexp.app.commands.rerun import compared
from rnnexp.tracking import RunRecord


def record(**series: float) -> RunRecord:
    return RunRecord(metrics={key.replace("__", "/"): [(1, v)] for key, v in series.items()})


def test_the_same_figures_are_the_same() -> None:
    one = record(train__loss=0.5, grad__raw_norm=float("nan"))
    two = record(train__loss=0.5, grad__raw_norm=float("nan"), val__loss=0.25)
    assert compared(one, two) == "The same figures as before, to the last bit: 2 of 2."


def test_one_that_differs_is_told() -> None:
    said = compared(record(train__loss=0.5), record(train__loss=0.25))
    assert said.startswith(
        "1 of 1 figures differ, the first at step 1: train/loss was 0.5, is 0.25"
    )


def test_speed_and_the_windows_of_a_run_that_went_on_are_its_own() -> None:
    one = record(train__loss=0.5, grad__raw_norm_max=1.0, time__steps_per_second=10.0)
    two = record(train__loss=0.5, grad__raw_norm_max=2.0, time__steps_per_second=90.0)
    assert compared(one, two) == "The same figures as before, to the last bit: 1 of 1."


def test_where_there_is_nothing_to_compare_it_is_said() -> None:
    none, one = record(), record(train__loss=0.5)
    assert compared(none, one) == "It had recorded no figure to compare with."
    said = compared(one, none)
    assert said == "It made none of the 1 figures again that were recorded before."
