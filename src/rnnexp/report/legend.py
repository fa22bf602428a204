"""Names of curves by what tells their runs apart, short enough for a picture, no two the same."""

from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len

from rnnexp.report.table import headings
from rnnexp.report.words import LABEL, brief, cut


def legend_of(keys: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, list[str]]:
    """Title a legend, and name what it lists.

    Values alone where there is room; else what most have is said once, in the title.

    Args:
        keys: of the config, in which the rows differ.
        rows: the values of each, in the order of the keys.

    Returns:
        The title; the names, each as wide as a label at most, empty where there is no key.
    """
    heads, columns = headings(keys), [brief(column) for column in zip(*rows, strict=True)]
    names = [", ".join(row) for row in zip(*columns, strict=True)] if keys else [""] * len(rows)
    if all(cell_len(name) <= LABEL for name in names):
        return ", ".join(heads), names
    heads = _without_groups(heads)
    usual = {head: _usual(column) for head, column in zip(heads, columns, strict=True)}
    pairs = [zip(heads, row, strict=True) for row in zip(*columns, strict=True)]
    own = [" ".join(f"{h}={v}" for h, v in row if v and v != usual[h]) for row in pairs]
    said = " ".join(f"{head}={value}" for head, value in usual.items() if value)
    return f"usual settings: {said}", _distinct([name or "usual settings" for name in own])


def _without_groups(heads: Sequence[str]) -> list[str]:
    ends = [head.removesuffix("._target_").rpartition(".")[2] for head in heads]
    return [end if ends.count(end) == 1 else head for end, head in zip(ends, heads, strict=True)]


def _usual(values: Sequence[str]) -> str | None:
    value, count = Counter(values).most_common(1)[0]
    return value if count > len(values) / 2 else None


def _distinct(names: Sequence[str]) -> list[str]:
    # Of two that differ in the middle alone a cut leaves the same: then their numbers differ.
    short = [cut(name, LABEL) for name in names]
    if len(set(short)) == len(short):
        return short
    return [f"{place}: {cut(name, LABEL - 6)}" for place, name in enumerate(names, 1)]
