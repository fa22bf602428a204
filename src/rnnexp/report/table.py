"""A table of runs: what tells them apart, and how they did."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Protocol

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

WIDTH = 120
"""Columns of a table that goes to a file or a pipe, at least."""

_FIGURES = {
    "test/loss": "test loss",
    "test/loss_relative": "of baseline",
    "test/accuracy": "test accuracy",
    "test/bits_per_character": "test bits/char",
    "test/loss_free": "loss running free",
    "grad/largest_raw_norm": "largest |grad|",
    "grad/clipped_fraction": "clipped",
}
_OWN = ("cell", "task", "run")
_WORDS = ("status", "run id")
_GAP, _EDGES = 1, 2
"""Columns of a terminal that lie between those of a table, and before the first and last."""
_NARROWEST = 18
_HARD = "\xa0"
_PERCENT = ("test/loss_relative", "test/accuracy", "grad/clipped_fraction")


class Run(Protocol):
    """What a row needs to know."""

    @property
    def name(self) -> str:
        """The name in MLflow."""
        ...

    @property
    def folder(self) -> str:
        """Where its files are."""
        ...

    @property
    def status(self) -> str:
        """How it ended."""
        ...

    @property
    def config(self) -> Mapping[str, str]:
        """The flattened config."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """The final figures."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...

    @property
    def run_id(self) -> str | None:
        """MLflow's id."""
        ...


@dataclass(frozen=True)
class _Column:
    """A column as text.

    Args:
        head: its heading.
        cells: one per run.
        is_figure: whether it says how the runs did, else what they were.
        is_own: whether it stays a column where there is no room for all.
    """

    head: str
    cells: list[str]
    is_figure: bool = True
    is_own: bool = True

    @property
    def width(self) -> int:
        """Columns of a terminal that cells and words of the heading need."""
        return max(map(cell_len, (*self.head.split(), *self.cells)))


def print_table(runs: Sequence[Run]) -> None:
    """Print a table of runs to standard output, at its full width where that is no terminal."""
    if sys.stdout.isatty():
        console = Console()
        console.print(fitted(runs, console.width))
        return
    table = table_of(runs)
    Console(width=max(WIDTH, _natural_width(table))).print(table)


def _natural_width(table: Table) -> int:
    unbounded = Console(width=10_000)
    return Measurement.get(unbounded, unbounded.options, table).maximum


def fitted(runs: Sequence[Run], width: int) -> Table | Text:
    """Lay runs out for a terminal so that no figure is cut.

    Args:
        runs: at least one.
        width: columns of the terminal.

    Returns:
        The whole table where it fits; else one with the keys beside cell and task in a column of
        their own, one below the other; on a terminal too narrow for that a paragraph per run.
    """
    table = table_of(runs)
    if _natural_width(table) <= width:
        return table
    columns = _columns(runs)
    rest = width - sum(column.width + _GAP for column in columns if column.is_own) - _EDGES
    return _paragraphs(columns, width) if rest < _NARROWEST else _folded(columns, rest)


def table_of(runs: Sequence[Run]) -> Table:
    """Make a table: one row per run, a column per config key that differs, then the figures."""
    table, columns = Table(box=box.SIMPLE, padding=(0, 1, 0, 0)), _columns(runs)
    for column in columns:
        right = column.is_figure and column.head not in _WORDS
        table.add_column(
            column.head, justify="right" if right else "left", no_wrap=column.head in _WORDS
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(escape, cells))
    return table


def _folded(columns: Sequence[_Column], rest: int) -> Table:
    table = Table(box=box.SIMPLE, padding=0)
    own = [column for column in columns if column.is_own]
    for column in own:
        right = column.is_figure and column.head not in _WORDS
        table.add_column(column.head, justify="right" if right else "left", width=column.width)
    table.add_column("settings", width=rest, overflow="fold")
    for row, cells in enumerate(zip(*(column.cells for column in own), strict=True)):
        settings = _settings([column for column in columns if not column.is_own], row)
        table.add_row(*map(escape, cells), escape(" ".join(settings)))
    return table


def _paragraphs(columns: Sequence[_Column], width: int) -> Text:
    keys = [column for column in columns if not column.is_figure]
    figures = [column for column in columns if column.is_figure]
    text = Text()
    for row in range(len(columns[0].cells)):
        text.append(" ".join(_settings(keys, row)), "bold")
        # A figure stays beside its heading: no line ends at a hard space.
        pairs = [f"{c.head} {c.cells[row]}".replace(" ", _HARD) for c in figures if c.cells[row]]
        for line in wrap("  ".join(pairs), max(width - 4, 20), break_long_words=False):
            text.append(f"\n    {line.replace(_HARD, ' ')}")
        text.append("\n")
    return text


def _settings(columns: Sequence[_Column], row: int) -> list[str]:
    return [f"{column.head}={column.cells[row]}" for column in columns if column.cells[row]]


def _columns(runs: Sequence[Run]) -> list[_Column]:
    keys = differing(run.config for run in runs)
    named = zip(keys, headings(keys), strict=True)
    columns = [
        _Column(head, [_brief(run.config.get(key, "")) for run in runs], False, head in _OWN)
        for key, head in named
    ] or [_Column("run", [run.name for run in runs], False)]
    for key, head in _FIGURES.items():
        if any(key in run.metrics for run in runs):
            columns.append(_Column(head, [show(key, run.metrics.get(key)) for run in runs]))
    columns.append(_Column("time", [f"{run.seconds:.0f} s" for run in runs]))
    if any(run.status != "FINISHED" for run in runs):
        columns.append(_Column("status", [_ending(run) for run in runs]))
    return [*columns, _Column("run id", [(run.run_id or "")[:8] for run in runs])]


def headings(keys: Sequence[str]) -> list[str]:
    """Name config keys as they are typed: "cell.name" as "cell"."""
    called = {"tracking.name": "run"}
    return [called.get(key, key.removesuffix(".name").removesuffix(".by")) for key in keys]


def _brief(text: str) -> str:
    # A search suggests numbers with all digits of a float.
    try:
        return f"{float(text):.4g}" if len(text) > 10 else text
    except ValueError:
        return text


def _ending(run: Run) -> str:
    return "pruned" if getattr(run, "pruned", False) else run.status


def differing(configs: Iterable[Mapping[str, str]]) -> list[str]:
    """List the config keys in which runs differ, names of groups before their details."""
    rows = list(configs)
    keys = {key: None for row in rows for key in row if not key.startswith("tracking.")}
    found = [key for key in keys if len({row.get(key) for row in rows}) > 1]
    return [key for key in found if not _follows_from_name(key, found, rows)]


def _follows_from_name(key: str, found: Sequence[str], rows: Sequence[Mapping[str, str]]) -> bool:
    # Cells have options of their own: the name tells them, unless they differ under one name.
    group = key.partition(".")[0]
    names = {f"{group}.{word}" for word in ("name", "by", "flavour")} & set(found) - {key}
    return any(
        len({(row.get(name), row.get(key)) for row in rows}) == len({row.get(name) for row in rows})
        for name in names
    )


def show(key: str, value: float | None) -> str:
    """Format a figure for reading."""
    if value is None:
        return ""
    return f"{value:.1%}" if key in _PERCENT else f"{value:.3g}"


def summary_line(run: Run, ui: str) -> str:
    """Sum a run up in one line that says where to look."""
    keys = ("test/loss", "test/loss_relative", "test/accuracy", "test/bits_per_character")
    shown = [f"{_FIGURES[k]} {show(k, run.metrics[k])}" for k in keys if k in run.metrics]
    figures = ", ".join(shown) or run.status
    return (
        f"{run.name}: {figures} | run {run.run_id or 'not yet in the store'} | {run.folder} | {ui}"
    )
