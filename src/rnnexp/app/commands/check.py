"""``rnnexp check``: tell the author of a plugin what is wrong with it, in words."""

import shlex
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import torch
from rich.console import Console
from rich.markup import escape

from rnnexp.app.commands.arguments import parser_of
from rnnexp.app.commands.plugin_failures import printed_after
from rnnexp.app.config.nearby import not_loaded
from rnnexp.discovery import load_file, load_plugins
from rnnexp.errors import PluginError, UnknownNameError, suggest
from rnnexp.registry import REGISTRY, Entry, Kind
from rnnexp.testing import (
    CALLBACK_CHECKS,
    CELL_CHECKS,
    TASK_CHECKS,
    CallbackSubject,
    CellSubject,
    Finding,
    TaskSubject,
    examine,
)

_KINDS: tuple[Kind, ...] = get_args(Kind)
_MARKS = {
    "ok": "[green]ok[/green]     ",
    "fails": "[red]FAILS[/red]  ",
    "skipped": "[dim]-[/dim]      ",
}


def main(command: str, arguments: list[str]) -> int:
    """Examine the plugins named; the exit code is 1 if one does not keep its contract."""
    parser = parser_of(command, __doc__)
    parser.add_argument("plugins", nargs="+", metavar="NAME|FILE.py")
    parser.add_argument("--quick", action="store_true", help="leave out what takes seconds")
    args = parser.parse_args(arguments)
    with printed_after(load_plugins()):
        entries = [entry for word in args.plugins for entry in named(word)]
    console = Console()
    torch.set_num_threads(1)  # speed is compared on one
    failed = [entry for entry in entries if report(entry, console, args.quick)]
    return int(bool(failed))


def named(word: str) -> list[Entry]:
    """Find the plugins of a name, or those that a file registers.

    Raises:
        PluginError: the file cannot be loaded, or registers nothing; two files have the name.
        UnknownNameError: there is no such plugin.
    """
    if word.endswith(".py"):
        return _in_file(Path(word))
    found = [REGISTRY.get(*key) for key in list(REGISTRY.entries) if key[1] == word]
    if found:
        return found
    if Path(f"{word}.py").is_file():  # asked for by name, so it may be loaded from here
        return _in_file(Path(f"{word}.py"))
    raise _unknown(word)


def _unknown(word: str) -> UnknownNameError:
    for failure in REGISTRY.failures:
        if any(failure.concerns(kind, word) for kind in _KINDS):
            return UnknownNameError(f"The file of '{word}' fails to load. {failure}")
    nearby = next(filter(None, (not_loaded(kind, word) for kind in _KINDS)), None)
    if nearby is not None:
        return nearby
    known = {name for kind in _KINDS for name in REGISTRY.names(kind)}
    return UnknownNameError(f"Unknown plugin '{word}'. {suggest(Path(word).name, known)}")


def _in_file(file: Path) -> list[Entry]:
    if not file.is_file():
        raise PluginError(
            f"{file}: no such file. To begin one: rnnexp new-cell {shlex.quote(file.stem)}"
        )
    load_file(file.resolve())
    for failure in REGISTRY.failures:
        if failure.file == str(file.resolve()):
            raise PluginError(f"{file} fails to load. {failure}")
    entries = [e for e in REGISTRY.entries.values() if e.file.resolve() == file.resolve()]
    if not entries:
        raise PluginError(
            f'{file} registers nothing. Put @register_cell("{file.stem}") above the class.'
        )
    return entries


def report(entry: Entry, console: Console, quick: bool) -> bool:
    """Print what the checks of a plugin find; return whether one fails."""
    console.print(f"[bold]{entry.kind} {entry.name}[/bold]  {entry.file}", soft_wrap=True)
    failed = 0
    for finding in _findings(entry, quick):
        failed += finding.status == "fails"
        console.print("\n".join(_lines(finding)), soft_wrap=True, highlight=False)
    word = f"{failed} of its promises fail" if failed else "keeps its contract"
    console.print(f"{entry.name} {word}.\n", soft_wrap=True)
    return failed > 0


def _findings(entry: Entry, quick: bool) -> Iterable[Finding]:
    warnings.filterwarnings("ignore")  # torch's own, of what it tries for the first time
    if entry.kind == "cell":
        cell = CellSubject(entry)
        chosen = [check for check in CELL_CHECKS if not (quick and check.is_long)]
        return examine(cell, chosen)
    if entry.kind == "task":
        return examine(TaskSubject(entry), TASK_CHECKS)
    return examine(CallbackSubject(entry), CALLBACK_CHECKS)


def _lines(finding: Finding) -> list[str]:
    remark = f"  [dim]{escape(finding.remark)}[/dim]" if finding.remark else ""
    lines = [f"  {_MARKS[finding.status]}{escape(finding.promise)}{remark}"]
    if finding.broken is not None:
        broken = finding.broken
        lines += [f"           expected  {escape(broken.expected)}"]
        lines += [f"           saw       {escape(broken.seen)}"]
        lines += [f"           {escape(broken.look)}"]
    return lines
