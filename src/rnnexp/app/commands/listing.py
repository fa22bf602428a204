"""``rnnexp cells``, ``tasks``, ``callbacks``: what is registered, and what it takes."""

import argparse
from typing import cast

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rnnexp.app.config.catalogue import by_family, costs
from rnnexp.discovery import load_plugins
from rnnexp.options import REQUIRED, Option
from rnnexp.registry import REGISTRY, Entry, Kind


def main(command: str, arguments: list[str]) -> int:
    """Describe the plugins named; list all where none is; the exit code is 1 if a file failed."""
    parser = argparse.ArgumentParser(prog=f"rnnexp {command}", description=__doc__)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args(arguments).names
    failures = load_plugins()
    kind = cast(Kind, command.removesuffix("s"))
    console = Console()
    if kind == "cell" and not names:
        console.print(cell_table(REGISTRY.all(kind)))
        console.print(
            "At 64 units on 64 inputs. Options and equation: rnnexp cells NAME", highlight=False
        )
    else:
        for entry in [REGISTRY.get(kind, name) for name in names] or REGISTRY.all(kind):
            console.print(describe(entry), soft_wrap=True, highlight=False)
    for failure in failures:
        console.print(f"[red]not loaded[/red]  {escape(str(failure))}", soft_wrap=True)
    return 1 if failures else 0


def cell_table(entries: list[Entry]) -> Table:
    """Lay the cells out by family, with what they cost at 64 units on 64 inputs.

    Trained numbers; multiply-adds of a step; numbers carried from one step to the next.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cell", no_wrap=True)
    for name in ("weights", "multiply-\nadds", "carried"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for family, members in by_family(entries):
        table.add_row(f"[bold]{family}[/bold]")
        for entry in members:
            table.add_row(f"  {entry.name}", *costs(entry), escape(_clause(entry.summary)))
    return table


def _clause(summary: str) -> str:
    return summary.partition(":")[0].rstrip(".")


def describe(entry: Entry) -> str:
    """Describe an entry: summary, equation, options with type, default and meaning, file."""
    lines = [f"[bold]{entry.name}[/bold]  {escape(entry.summary)}"]
    lines += [f"    {escape(line)}" for line in entry.equation.splitlines()]
    lines += [f"  {escape(_option_line(_prefix(entry), option))}" for option in entry.options]
    return "\n".join([*lines, f"  [dim]{entry.file}[/dim]", ""])


def _prefix(entry: Entry) -> str:
    return f"callbacks.{entry.name}" if entry.kind == "callback" else entry.kind


def _option_line(prefix: str, option: Option) -> str:
    default = "required" if option.default == REQUIRED else _default(option.default)
    head = f"{prefix}.{option.name}={default}"
    return f"{head:<34} {option.type_name:<24} {option.doc}".rstrip()


def _default(value: object) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
