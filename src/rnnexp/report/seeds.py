"""Runs that differ in their seed alone, taken together: the mean of each figure, and its spread."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from rnnexp.report.columns import Column
from rnnexp.report.table import differing, figures_of, is_share, key_columns, percent, show
from rnnexp.tracking.outcome import Outcome

NO_SETTING = ("seed", "resume")
"""Keys in which repetitions of one setting differ: where a run went on says nothing of it."""


def told_apart_by(runs: Sequence[Outcome]) -> list[str]:
    """List the config keys that tell settings apart."""
    return [key for key in differing(run.config for run in runs) if key not in NO_SETTING]


def alike(runs: Sequence[Outcome], keys: Sequence[str]) -> list[list[Outcome]]:
    """Group runs that have the same values of some keys, in the order of the first of each."""
    groups: dict[tuple[str | None, ...], list[Outcome]] = {}
    for run in runs:
        groups.setdefault(tuple(run.config.get(key) for key in keys), []).append(run)
    return list(groups.values())


def columns_over_seeds(runs: Sequence[Outcome]) -> list[Column]:
    """Give a row per setting: mean and sample standard deviation over its finished runs."""
    keys = told_apart_by(runs)
    groups = alike(runs, keys)
    columns = key_columns([_setting_of(group) for group in groups], keys)
    finished = [[run for run in group if run.status == "FINISHED"] for group in groups]
    columns.append(Column("runs", [_count(*pair) for pair in zip(finished, groups, strict=True)]))
    for key, head in figures_of([run for group in finished for run in group]).items():
        figures = [[r.metrics[key] for r in group if key in r.metrics] for group in finished]
        columns.append(Column(head, [_spread(key, values) for values in figures]))
    times = [f"{fmean(run.seconds for run in group):.0f} s" for group in groups]
    return [*columns, Column("time", times)]


def _setting_of(group: Sequence[Outcome]) -> Outcome:
    first = group[0]
    if len(group) == 1:
        return first
    # A name that no config gave ends in the seed, and the row is of all of them.
    return replace(first, name=first.name.removesuffix(f"-s{first.config.get('seed')}"))


def _count(finished: Sequence[Outcome], group: Sequence[Outcome]) -> str:
    whole = str(len(group))
    return whole if len(finished) == len(group) else f"{len(finished)} of {whole}"


def _spread(key: str, values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = show(key, fmean(values))
    if len(values) == 1 or not all(map(math.isfinite, values)):
        return mean
    deviation = stdev(values)
    return f"{mean} ± {percent(deviation) if is_share(key) else f'{deviation:.2g}'}"
