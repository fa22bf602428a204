"""A table shows what decides between its runs, and of a search its trials."""

from dataclasses import replace
from pathlib import Path

from rnnexp.report.sheet import write_runs
from rnnexp.report.table import columns_of
from rnnexp.tracking.files import write_json
from rnnexp.tracking.outcome import Outcome


def run(metrics: dict[str, float], **config: str) -> Outcome:
    return Outcome("a-run", "outputs/a-run", "FINISHED", config, metrics)


def shown(runs: list[Outcome]) -> dict[str, list[str]]:
    return {column.head: column.cells for column in columns_of(runs)}


def test_the_loss_that_names_the_best_is_shown() -> None:
    metrics = {"val/loss_best": 0.5, "val/loss_free_best": 0.25, "test/loss": 1.0}
    for feed, head, cell in (
        ("free", "best val loss free", "0.25"),
        ("teacher", "best val loss", "0.5"),
    ):
        config = {"task.name": "adding", "unroll.feed": feed}
        heads = shown([run(metrics, **config), run({}, **config)])
        assert heads[head] == [cell, ""]
        assert sum("best" in head for head in heads) == 1
    of_several = [run(metrics, **{"task.name": name}) for name in ("adding", "series")]
    assert not any("best" in head for head in shown(of_several)), "their losses have other units"


def test_over_a_baseline_that_differs_the_share_of_it_is_shown() -> None:
    losses = {"val/loss": 1.0, "val/loss_best": 0.5}
    runs = [run({**losses, "val/loss_relative": share}) for share in (0.5, 0.25)]
    assert shown([*runs, run({})])["best val loss relative"] == ["25.0%", "12.5%", ""]


def test_a_search_shows_its_trials_and_what_they_are_judged_by(tmp_path: Path) -> None:
    objectives = ["val/accuracy", "test/accuracy", "seconds"]
    write_json(tmp_path / "search.json", {"objectives": objectives})
    figures = {"val/loss_best": 0.5, "val/accuracy": 0.25, "test/accuracy": 0.5}
    trial = replace(run(figures), name="trial12-adding-gru", folder=str(tmp_path / "key"))
    heads = shown([trial])
    assert heads["trial"] == ["12"]
    assert (heads["val accuracy"], heads["test accuracy"]) == (["25.0%"], ["50.0%"])
    assert not any("best" in head for head in heads)
    write_runs([trial, run({})], tmp_path / "table.csv")
    head, first, second = (tmp_path / "table.csv").read_text().splitlines()
    assert head.startswith("trial,run,val/accuracy,test/accuracy,")
    assert (first[:3], second[0]) == ("12,", ",")


def test_the_largest_cliff_stands_in_the_file(tmp_path: Path) -> None:
    metrics = {"cliffs/count": 2.0, "cliffs/largest": 9.0, "cliffs/largest_step": 7.0}
    write_runs([run(metrics)], tmp_path / "table.csv")
    assert "cliffs/count,cliffs/largest_step,seconds" in (tmp_path / "table.csv").read_text()
