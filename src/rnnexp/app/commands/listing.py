"""``rnnexp cells``, ``tasks``, ``callbacks``: what is registered, and what it takes."""

from collections.abc import Iterable, Mapping
from typing import cast

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rnnexp.app.commands.arguments import parser_of, plain
from rnnexp.app.config.catalogue import Costs, all_costs, by_family
from rnnexp.app.config.nearby import not_loaded
from rnnexp.discovery import load_plugins
from rnnexp.errors import UnknownNameError
from rnnexp.options import REQUIRED, Option, written
from rnnexp.registry import REGISTRY, Entry, Kind

_UNCOUNTED = ("-", "-", "-")
_WIDEST = 40
"""Columns of a terminal for a key and its default, at most."""


def main(command: str, arguments: list[str]) -> int:
    """Describe the plugins named; list all where none is; the exit code is 1 if one failed."""
    parser = parser_of(command, __doc__)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args(arguments).names
    failures = load_plugins()
    kind = cast(Kind, command.removesuffix("s"))
    console = Console()
    uncounted: list[str] = []
    if kind == "cell" and not names:
        counted, uncounted = all_costs(REGISTRY.all(kind))
        console.print(cell_table(REGISTRY.all(kind), counted))
        console.print(
            "At 64 units on 64 inputs. Options and equation: rnnexp cells NAME", highlight=False
        )
    else:
        for entry in [_entry(kind, name) for name in names] or REGISTRY.all(kind):
            describe(entry, console)
    for failure in failures:
        console.print(f"[red]not loaded[/red]  {escape(str(failure))}", soft_wrap=True)
    for reason in uncounted:
        console.print(f"[red]not counted[/red]  {escape(reason)}", soft_wrap=True)
    return 1 if failures or uncounted else 0


def _entry(kind: Kind, name: str) -> Entry:
    try:
        return REGISTRY.get(kind, name)
    except UnknownNameError as error:
        raise not_loaded(kind, name) or error from error


def cell_table(entries: list[Entry], counted: Mapping[str, Costs]) -> Table:
    """Lay the cells out by family, with what they cost at 64 units on 64 inputs.

    Trained numbers; multiply-adds of a step; numbers carried from one step to the next.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cell", no_wrap=True)
    for name in ("weights", "multiply-\nadds", "carried"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for family, members in by_family(entries):
        table.add_row(f"[bold]{escape(family)}[/bold]")
        for entry in members:
            count, what = counted.get(entry.name, _UNCOUNTED), _clause(entry.summary)
            table.add_row(f"  {entry.name}", *count, escape(what))
    return table


def _clause(summary: str) -> str:
    return plain(summary).partition(":")[0].rstrip(".")


def describe(entry: Entry, console: Console) -> None:
    """Print an entry: summary, equation, options with default, type and meaning, file."""
    console.print(f"[bold]{entry.name}[/bold]  {escape(plain(entry.summary))}", highlight=False)
    for line in entry.equation.splitlines():
        console.print(f"    {line}", soft_wrap=True, highlight=False, markup=False)
    if entry.options:
        prefix = f"callbacks.{entry.name}" if entry.kind == "callback" else entry.kind
        console.print(Padding(option_grid(prefix, entry.options), (0, 0, 0, 2)))
    console.print(f"  [dim]{escape(str(entry.file))}[/dim]\n", soft_wrap=True, highlight=False)


def option_grid(prefix: str, options: Iterable[Option]) -> Table:
    """Lay options out in two columns: key and default, type and meaning.

    Args:
        prefix: where they stand in the config, such as ``cell``; empty for the top.
        options: what stands there.
    """
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold", max_width=_WIDEST)
    grid.add_column(overflow="fold")
    for option in options:
        default = "required" if option.default == REQUIRED else written(option.default)
        meaning = f"({option.type_name}) {plain(option.doc)}".rstrip()
        key = f"{prefix}.{option.name}".lstrip(".")
        grid.add_row(Text(f"{key}={default}"), Text(meaning))
    return grid
