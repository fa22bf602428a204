"""Runs that differ in their seed alone are one row: means, and how far their figures spread."""

import io
import math
import sys
from dataclasses import replace

import pytest

from rnnexp.report.columns import Column, print_columns
from rnnexp.report.seeds import columns_over_seeds
from rnnexp.tracking.outcome import Outcome


def run(loss: float | None, status: str = "FINISHED", **config: str) -> Outcome:
    figures = {} if loss is None else {"test/loss": loss, "test/accuracy": loss / 10}
    return Outcome("its-name", "folder", status, config, figures, 10.0 * (loss or 0), None, None)


def rows(columns: list[Column]) -> list[dict[str, str]]:
    cells = zip(*(column.cells for column in columns), strict=True)
    return [dict(zip((column.head for column in columns), row, strict=True)) for row in cells]


def test_a_row_is_a_setting() -> None:
    runs = [
        run(loss, **{"cell.name": cell, "seed": str(seed)})
        for seed, pair in enumerate([(1.0, 5.0), (3.0, 5.5), (5.0, 6.0)])
        for cell, loss in zip(("gru", "lstm"), pair, strict=True)
    ]
    accuracies = {"gru": "30% ± 20%", "lstm": "55.0% ± 5.0%"}
    assert rows(columns_over_seeds(runs)) == [
        {
            "cell": cell,
            "runs": "3",
            "test loss": loss,
            "test accuracy": accuracies[cell],
            "time": time,
        }
        for cell, loss, time in (("gru", "3.0 ± 2.0", "30 s"), ("lstm", "5.50 ± 0.50", "55 s"))
    ]


def test_a_run_that_went_on_is_of_the_same_setting() -> None:
    runs = [run(1.0, seed="0", resume="outputs/x"), run(2.0, seed="1")]
    (row,) = rows(columns_over_seeds(runs))
    assert (row["runs"], row["test loss"]) == ("2", "1.50 ± 0.71")


def test_one_run_has_no_spread() -> None:
    (row,) = rows(columns_over_seeds([run(0.25, seed="0")]))
    assert row["test loss"] == "0.25"
    assert row["run"] == "its-name"


def test_what_has_not_finished_is_counted_and_left_out_of_the_mean() -> None:
    runs = [run(1.0, seed="0"), run(2.0, seed="1"), run(99.0, "FAILED", seed="2")]
    (row,) = rows(columns_over_seeds(runs))
    assert (row["runs"], row["test loss"]) == ("2 of 3", "1.50 ± 0.71")


@pytest.mark.parametrize("status", ["FAILED", "FINISHED"])
def test_a_setting_may_be_without_figures(status: str) -> None:
    runs = [run(None, status, clip="none", seed="0"), run(1.0, clip="norm", seed="0")]
    first, second = rows(columns_over_seeds(runs))
    assert (first["test loss"], second["test loss"]) == ("", "1")


def test_of_the_sequences_seen_there_is_a_mean_alone() -> None:
    runs = [
        replace(run(1.0, window=window, seed=seed), metrics={"train/sequences": sequences})
        for window, sequences in (("3", 3200.0), ("null", 19200.0))
        for seed in "01"
    ]
    assert [row["sequences"] for row in rows(columns_over_seeds(runs))] == ["3200", "19200"]


@pytest.mark.parametrize(
    ("key", "mean", "half", "said"),
    [
        ("test/loss", 0.16504, 0.00012, "0.16504 ± 0.00017"),
        ("test/loss", 654.3, 184.0, "650 ± 260"),
        ("test/loss", 1.0, 0.0707, "1.00 ± 0.10"),  # .09998 has three digits there
        ("test/loss", -3.0, 0.5, "-3.00 ± 0.71"),
        ("test/loss", 0.0, 7.0, "0.0 ± 9.9"),
        ("grad/largest_raw_norm", 1.13e5, 5.6e4, "(1.13 ± 0.79)e+05"),
        ("test/loss", 2e-6, 1e-8, "(2.000 ± 0.014)e-06"),
        ("test/loss", 2.0, 0.0, "2 ± 0"),
        ("test/accuracy", 0.5, 0.0, "50.0% ± 0%"),
        ("test/accuracy", 0.99974, 0.00044, "99.974% ± 0.062%"),
        ("test/loss_relative", 18.345, 17.0, "1800% ± 2400%"),
        ("test/loss_relative", 2e6, 1e5, "(2.00 ± 0.14)e+08%"),
        ("cliffs/count", 3.5, 1.5, "3.5 ± 2.1"),
    ],
)
def test_a_mean_is_as_fine_as_its_deviation(key: str, mean: float, half: float, said: str) -> None:
    runs = [
        replace(run(None, seed=str(seed)), metrics={key: value})
        for seed, value in enumerate((mean - half, mean + half))
    ]
    assert said in rows(columns_over_seeds(runs))[0].values()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_mean_that_is_not_finite_is_shown_alone(value: float) -> None:
    (row,) = rows(columns_over_seeds([run(1.0, seed="0"), run(value, seed="1")]))
    assert row["test loss"] == str(value)


@pytest.mark.parametrize(
    ("name", "seeds", "said"),
    [("a-s{}", "01", "a"), ("a-s{}", "0", "a-s0"), ("mine", "01", "mine")],
)
def test_the_row_of_the_only_setting_is_named_after_no_seed(
    name: str, seeds: str, said: str
) -> None:
    runs = [replace(run(1.0, seed=seed), name=name.format(seed)) for seed in seeds]
    (row,) = rows(columns_over_seeds(runs))
    assert row["run"] == said


@pytest.mark.parametrize(("encoding", "spread"), [("utf-8", "2.0 ± 1.4"), ("ascii", "2.0 +- 1.4")])
def test_a_spread_is_shown_in_the_letters_that_there_are(
    monkeypatch: pytest.MonkeyPatch, encoding: str, spread: str
) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", output)
    print_columns(columns_over_seeds([run(1.0, seed="0"), run(3.0, seed="1")]))
    output.seek(0)
    assert spread in output.read()
