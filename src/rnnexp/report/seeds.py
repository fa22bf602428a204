"""Runs that differ in their seed alone, taken together: the mean of each figure, and its spread."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from rnnexp.report.columns import Column
from rnnexp.report.table import (
    SEQUENCES,
    differing,
    figures_of,
    is_share,
    key_columns,
    show,
)
from rnnexp.tracking.outcome import Outcome

NO_SETTING = ("seed", "resume")
"""Keys in which repetitions of one setting differ: where a run went on says nothing of it."""


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed alone.

    Args:
        runs: at least one.
    """

    runs: Sequence[Outcome]

    @property
    def finished(self) -> list[Outcome]:
        """Those whose figures count."""
        return [run for run in self.runs if run.status == "FINISHED"]

    @property
    def named(self) -> Outcome:
        """The first run, under a name that stands for all."""
        first = self.runs[0]
        if len(self.runs) == 1:
            return first
        # A name that no config gave ends in the seed, and the row is of all of them.
        return replace(first, name=first.name.removesuffix(f"-s{first.config.get('seed')}"))

    @property
    def count(self) -> str:
        """How many have finished, and of how many."""
        done, whole = len(self.finished), len(self.runs)
        return str(whole) if done == whole else f"{done} of {whole}"

    def values(self, key: str) -> list[float]:
        """List a figure of those that have finished with it."""
        found = (run.figure(key) for run in self.finished)
        return [value for value in found if value is not None]


def told_apart_by(runs: Sequence[Outcome]) -> list[str]:
    """List the config keys that tell settings apart."""
    return [key for key in differing(run.config for run in runs) if key not in NO_SETTING]


def alike(runs: Sequence[Outcome], keys: Sequence[str]) -> list[list[Outcome]]:
    """Group runs that have the same values of some keys, in the order of the first of each."""
    groups: dict[tuple[str | None, ...], list[Outcome]] = {}
    for run in runs:
        groups.setdefault(tuple(run.config.get(key) for key in keys), []).append(run)
    return list(groups.values())


def settings_of(runs: Sequence[Outcome]) -> tuple[list[str], list[Setting]]:
    """Give the config keys that tell settings apart, and the settings."""
    keys = told_apart_by(runs)
    return keys, [Setting(group) for group in alike(runs, keys)]


def columns_over_seeds(runs: Sequence[Outcome]) -> list[Column]:
    """Give a row per setting: mean and sample standard deviation over its finished runs."""
    keys, settings = settings_of(runs)
    columns = key_columns([setting.named for setting in settings], keys)
    columns.append(Column("runs", [setting.count for setting in settings]))
    for key, head in figures_of([run for setting in settings for run in setting.finished]).items():
        columns.append(Column(head, [_spread(key, setting.values(key)) for setting in settings]))
    times = [f"{fmean(run.seconds for run in setting.runs):.0f} s" for setting in settings]
    return [*columns, Column("time", times)]


def spread_of(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Compute the mean, and the sample standard deviation; None for what there is none of."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return (fmean(values) if values else None), None
    return fmean(values), stdev(values)


def _spread(key: str, values: Sequence[float]) -> str:
    mean, deviation = spread_of(values)
    if deviation is None or key == SEQUENCES:
        return show(key, mean)
    unit, times = ("%", 100.0) if is_share(key) else ("", 1.0)
    if not deviation:
        return f"{show(key, mean)} ± 0{unit}"
    mean, deviation = times * (mean or 0.0), times * deviation
    largest = math.floor(math.log10(max(abs(mean), deviation)))
    if -5 < largest < 5:  # written without a power of ten
        return " ± ".join(f"{number}{unit}" for number in _to_one_place(mean, deviation))
    both = " ± ".join(_to_one_place(mean / 10.0**largest, deviation / 10.0**largest))
    return f"({both})e{largest:+03d}{unit}"


def _to_one_place(mean: float, deviation: float) -> tuple[str, str]:
    """Round a deviation to two digits, and the mean to the place of the last of them."""
    digits, _, exponent = f"{deviation:.1e}".partition("e")
    last = int(exponent) - 1
    places = max(0, -last)
    return f"{round(mean, -last):.{places}f}", f"{float(f'{digits}e{exponent}'):.{places}f}"
