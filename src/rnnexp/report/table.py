"""A table of runs: what tells them apart, and how they did."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from rnnexp.report.columns import Column, print_columns
from rnnexp.report.deciding import deciding, trials_of
from rnnexp.report.words import rounded
from rnnexp.tracking import FREE, is_outside_identity, selection_loss_of
from rnnexp.tracking.outcome import Outcome

CLIFFS = "cliffs/count"
FIGURES = {
    "test/loss": "test loss",
    "test/loss_relative": "of baseline",
    "test/accuracy": "test accuracy",
    "test/bits_per_character": "test bits/char",
    "test/loss_free": "loss running free",
    "test/accuracy_free": "accuracy running free",
    "grad/largest_raw_norm": "largest |grad|",
    "grad/clipped_fraction": "clipped",
    CLIFFS: "cliffs",
}
_OF_TRAINING = ("grad/", "cliffs/")
SEQUENCES = "train/sequences"
_OWN = ("cell", "task", "run")
_CHOICES = ("name", "by", "flavour", "_target_")
"""Keys of a group that say which of its choices was taken."""
_SHARES = re.compile(r"(val|test)/(accuracy|loss_relative).*|grad/clipped_fraction")
_SHOWN_ONLY = "monitor.pictures"
"""It has a part in the key of a job, and none in what is computed."""
_SUMMARY = ("test/loss", "test/loss_relative", "test/accuracy", "test/bits_per_character")
_AT_LENGTH = re.compile(rf"test/(loss|accuracy)_T(\d+)({FREE})?")


def print_table(runs: Sequence[Outcome]) -> None:
    """Print a table of runs to standard output."""
    print_columns(columns_of(runs))


def columns_of(runs: Sequence[Outcome]) -> list[Column]:
    """Give a column per config key that differs, then the figures; one row per run."""
    trials = trials_of(runs)
    columns = [Column("trial", trials, is_figure=False)] if trials else []
    columns += key_columns(runs, differing(run.config for run in runs))
    for key, head in figures_of(runs).items():
        columns.append(Column(head, [show(key, run.figure(key)) for run in runs]))
    columns.append(Column("time", [f"{run.seconds:.0f} s" for run in runs]))
    if any(run.status != "FINISHED" for run in runs):
        columns.append(Column("status", [ending_of(run) for run in runs]))
    return [*columns, Column("run id", [(run.run_id or "")[:8] for run in runs])]


def figures_of(runs: Sequence[Outcome]) -> dict[str, str]:
    """Name the figures that runs have, and their headings: of other lengths, what decides, too.

    Cliffs are told where a run has one. How many sequences they have seen is told only where they
    have seen unlike numbers: they differ in their data then, not only in what the config says.
    """
    found = {key: head for key, head in FIGURES.items() if any(key in run.metrics for run in runs)}
    of_training = {key: found.pop(key) for key in list(found) if key.startswith(_OF_TRAINING)}
    if not any(run.metrics.get(CLIFFS) for run in runs):
        of_training.pop(CLIFFS, None)
    forced, free = _at_lengths(runs, ""), _at_lengths(runs, FREE)
    running_free = {key: f"{head} running free" for key, head in free.items()}
    seen = {run.metrics[SEQUENCES] for run in runs if SEQUENCES in run.metrics}
    data = {SEQUENCES: "sequences"} if len(seen) > 1 else {}
    others = {**found, **forced, **running_free}
    return {**deciding(runs), **others, **of_training, **data}


def _at_lengths(runs: Sequence[Outcome], end: str) -> dict[str, str]:
    """Name the accuracy at each length that was tested and not trained on; else the loss.

    Args:
        runs: that were tested.
        end: ``_free`` of figures running free, else nothing.
    """
    matches = [_AT_LENGTH.fullmatch(key) for run in runs for key in run.metrics]
    found = {(int(m[2]), m[1]): m[0] for m in matches if m and (m[3] or "") == end}
    return {
        key: f"{figure} at T={length}"
        for (length, figure), key in sorted(found.items())
        if figure == "accuracy" or (length, "accuracy") not in found
    }


def key_columns(runs: Sequence[Outcome], keys: Sequence[str]) -> list[Column]:
    """Give a column per config key; the runs' names where there is no key."""
    named = zip(keys, headings(keys), strict=True)
    return [
        Column(head, [rounded(run.config.get(key, "")) for run in runs], False, head in _OWN)
        for key, head in named
    ] or [Column("run", [run.name for run in runs], False)]


def headings(keys: Sequence[str]) -> list[str]:
    """Name config keys as they are typed: "cell.name" as "cell"."""
    called = {"tracking.name": "run"}
    return [called.get(key, key.removesuffix(".name").removesuffix(".by")) for key in keys]


def ending_of(run: Outcome) -> str:
    """Say how a run ended: as in MLflow, or pruned."""
    return "pruned" if getattr(run, "pruned", False) else run.status


def differing(configs: Iterable[Mapping[str, str]]) -> list[str]:
    """List the config keys in which runs differ, names of groups before their details."""
    rows = list(configs)
    keys = {key: None for row in rows for key in row}
    inside = (key for key in keys if key != _SHOWN_ONLY and not is_outside_identity(key))
    found = [key for key in inside if len({row.get(key) for row in rows}) > 1]
    return [key for key in found if not _follows_from_name(key, found, rows)]


def in_order(runs: Sequence[Outcome]) -> list[Outcome]:
    """Sort runs by the config keys in which they differ, numbers as numbers and before words."""
    keys = differing(run.config for run in runs)
    return sorted(runs, key=lambda run: [_rank(run.config.get(key, "")) for key in keys])


def _rank(value: str) -> tuple[bool, float, str]:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return (True, 0.0, value) if math.isnan(number) else (False, number, value)


def _follows_from_name(key: str, found: Sequence[str], rows: Sequence[Mapping[str, str]]) -> bool:
    # Cells have options of their own: the name tells them, unless they differ under one name.
    group = key.partition(".")[0]
    names = {f"{group}.{word}" for word in _CHOICES} & set(found) - {key}
    return any(
        len({(row.get(name), row.get(key)) for row in rows}) == len({row.get(name) for row in rows})
        for name in names
    )


def show(key: str, value: float | None) -> str:
    """Format a figure for reading."""
    if value is None:
        return ""
    if key in (SEQUENCES, CLIFFS):
        return f"{value:.0f}"
    return percent(value) if is_share(key) else f"{value:.3g}"


def is_share(key: str) -> bool:
    """Tell whether a figure is a share, which is read as a percentage."""
    return _SHARES.fullmatch(key) is not None


def percent(share: float) -> str:
    """Format a share; a forecast may be four powers of ten better than its baseline."""
    return f"{share:.1%}" if share >= 0.001 or share <= 0 else f"{100 * share:.2g}%"


def summary_line(run: Outcome, ui: str) -> str:
    """Sum a run up in one line that says where to look."""
    figures = _tested(run) or run.status
    return (
        f"{run.name}: {figures} | run {run.run_id or 'not yet in the store'} | {run.folder} | {ui}"
    )


def _tested(run: Outcome) -> str:
    """List the test figures, those by which the run is judged first."""
    forced = _listed(run, "")
    if selection_loss_of([run.config]) == "loss":
        return forced
    parts = {"free-running": _listed(run, FREE), "teacher-forced": forced}
    return "; ".join(f"{how}: {figures}" for how, figures in parts.items() if figures)


def _listed(run: Outcome, end: str) -> str:
    known = [(head, key + end) for key, head in FIGURES.items() if key in _SUMMARY]
    known += [(head, key) for key, head in _at_lengths([run], end).items()]
    return ", ".join(f"{h} {show(k, run.metrics[k])}" for h, k in known if k in run.metrics)
