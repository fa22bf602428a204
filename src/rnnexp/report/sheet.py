"""The table of runs as a CSV file: figures in full precision, under the names of the record."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rnnexp.report.deciding import trials_of
from rnnexp.report.seeds import settings_of, spread_of
from rnnexp.report.table import CLIFFS, differing, ending_of, figures_of, headings
from rnnexp.tracking.outcome import Outcome

Row = dict[str, str | float | None]


def write_runs(runs: Sequence[Outcome], file: Path) -> None:
    """Write a row per run: what tells it apart, its figures, how it ended.

    Args:
        runs: at least one.
        file: is written anew.
    """
    keys, figures = differing(run.config for run in runs), [*figures_of(runs)]
    if CLIFFS in figures:
        figures.insert(figures.index(CLIFFS) + 1, "cliffs/largest_step")
    trials = trials_of(runs) or [""] * len(runs)
    rows = [
        {
            **({"trial": trial} if any(trials) else {}),
            **_settings(run, keys),
            **{key: run.figure(key) for key in figures},
            "seconds": run.seconds,
            "status": ending_of(run),
            "run id": run.run_id,
        }
        for run, trial in zip(runs, trials, strict=True)
    ]
    _write(rows, file)


def write_over_seeds(runs: Sequence[Outcome], file: Path) -> None:
    """Write a row per setting: of each figure mean and sample deviation over its finished runs.

    Args:
        runs: at least one.
        file: is written anew.
    """
    keys, settings = settings_of(runs)
    figures = figures_of([run for setting in settings for run in setting.finished])
    rows = [
        {
            **_settings(setting.named, keys),
            "runs": len(setting.finished),
            **_spreads({key: setting.values(key) for key in figures}),
            "seconds_mean": fmean(run.seconds for run in setting.runs),
        }
        for setting in settings
    ]
    _write(rows, file)


def _settings(run: Outcome, keys: Sequence[str]) -> Row:
    named = zip(headings(keys), keys, strict=True)
    return {head: run.config.get(key) for head, key in named} or {"run": run.name}


def _spreads(figures: Mapping[str, Sequence[float]]) -> Row:
    row: Row = {}
    for key, values in figures.items():
        row[f"{key}_mean"], row[f"{key}_deviation"] = spread_of(values)
    return row


def _write(rows: Sequence[Row], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as sheet:
        writer = csv.DictWriter(sheet, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
