"""Tables laid out as wide as there is room, so that no figure is cut."""

import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

WIDTH = 120
"""Columns of a table that goes to a file or a pipe, at least."""

_WORDS = ("status", "run id")
_GAP, _EDGES = 1, 2
"""Columns of a terminal that lie between those of a table, and before the first and last."""
_NARROWEST = 18
_HARD = "\xa0"


@dataclass(frozen=True)
class Column:
    """A column as text.

    Args:
        head: its heading.
        cells: one per row.
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


def print_columns(columns: Sequence[Column]) -> None:
    """Print a table to standard output, at its full width where that is no terminal."""
    console = Console()
    if console.options.ascii_only:  # the rules between the columns are drawn with + and -, too
        columns = [replace(c, cells=[cell.replace("±", "+-") for cell in c.cells]) for c in columns]
    if sys.stdout.isatty():
        console.print(fitted(columns, console.width))
        return
    table = laid_out(columns)
    Console(width=max(WIDTH, _natural_width(table))).print(table)


def _natural_width(table: Table) -> int:
    unbounded = Console(width=10_000)
    return Measurement.get(unbounded, unbounded.options, table).maximum


def fitted(columns: Sequence[Column], width: int) -> Table | Text:
    """Lay a table out for a terminal so that no figure is cut.

    Args:
        columns: with at least one row.
        width: columns of the terminal.

    Returns:
        The whole table where it fits; else one with those that are no column of their own in one,
        one below the other; on a terminal too narrow for that a paragraph per row.
    """
    table = laid_out(columns)
    if _natural_width(table) <= width:
        return table
    rest = width - sum(column.width + _GAP for column in columns if column.is_own) - _EDGES
    return _paragraphs(columns, width) if rest < _NARROWEST else _folded(columns, rest)


def laid_out(columns: Sequence[Column]) -> Table:
    """Make a table of all columns."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in columns:
        right = column.is_figure and column.head not in _WORDS
        table.add_column(
            column.head, justify="right" if right else "left", no_wrap=column.head in _WORDS
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(escape, cells))
    return table


def _folded(columns: Sequence[Column], rest: int) -> Table:
    table = Table(box=box.SIMPLE, padding=0)
    own = [column for column in columns if column.is_own]
    others = [column for column in columns if not column.is_own]
    usual = _usual(others)
    for column in own:
        right = column.is_figure and column.head not in _WORDS
        table.add_column(column.head, justify="right" if right else "left", width=column.width)
    table.add_column("settings", width=rest, overflow="fold")
    for row, cells in enumerate(zip(*(column.cells for column in own), strict=True)):
        table.add_row(*map(escape, cells), escape(" ".join(_settings(others, row, usual))))
    table.caption, table.caption_justify = escape(_said_once(usual)), "left"
    return table


def _usual(columns: Sequence[Column]) -> list[tuple[str, str]]:
    # What most rows have is said once, or what is another row's own would be lost among it.
    found = list[tuple[str, str]]()
    for column in columns:
        value, count = Counter(column.cells).most_common(1)[0]
        if value and count > len(column.cells) / 2:
            found.append((column.head, value))
    return found


def _paragraphs(columns: Sequence[Column], width: int) -> Text:
    keys = [column for column in columns if not column.is_figure]
    figures = [column for column in columns if column.is_figure]
    usual = _usual([column for column in keys if not column.is_own])
    text = Text(_said_once(usual))
    for row in range(len(columns[0].cells)):
        text.append(" ".join(_settings(keys, row, usual)), "bold")
        # A figure stays beside its heading: no line ends at a hard space.
        pairs = [f"{c.head} {c.cells[row]}".replace(" ", _HARD) for c in figures if c.cells[row]]
        for line in wrap("  ".join(pairs), max(width - 4, 20), break_long_words=False):
            text.append(f"\n    {line.replace(_HARD, ' ')}")
        text.append("\n")
    return text


def _said_once(usual: Sequence[tuple[str, str]]) -> str:
    return f"usual settings: {' '.join(map('='.join, usual))}\n" if usual else ""


def _settings(
    columns: Sequence[Column], row: int, unsaid: Collection[tuple[str, str]] = ()
) -> list[str]:
    pairs = [(column.head, column.cells[row]) for column in columns if column.cells[row]]
    return ["=".join(pair) for pair in pairs if pair not in unsaid]
