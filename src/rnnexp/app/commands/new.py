"""``rnnexp new-cell``, ``rnnexp new-task``: a plugin file to begin with, which works as it is."""

import shlex
from importlib.resources import files
from pathlib import Path
from typing import cast

from rnnexp.app.commands.arguments import parser_of
from rnnexp.discovery import load_plugins
from rnnexp.errors import PluginError
from rnnexp.registry import REGISTRY, Kind, check_name

_KINDS = {"new-cell": ("pointwise", "general"), "new-task": ("generated", "stored")}


def main(command: str, arguments: list[str]) -> int:
    """Write one documented file and say what to do with it."""
    parser = parser_of(command, __doc__)
    parser.add_argument("name", help="what cell= or task= will name")
    kinds = _KINDS[command]
    parser.add_argument("--kind", choices=kinds, default=kinds[0])
    parser.add_argument("--folder", type=Path, default=Path(), help="where to; default: here")
    args = parser.parse_args(arguments)
    group = cast(Kind, command.removeprefix("new-"))
    file = write(args.name, group, args.kind, args.folder)
    print(f"Written: {file}")
    print(f"  rnnexp check {shlex.quote(str(file))}")
    print(f"  RNNEXP_PLUGINS={shlex.quote(str(args.folder))} rnnexp train {group}={args.name}")
    return 0


def write(name: str, group: Kind, kind: str, folder: Path) -> Path:
    """Write the file of a new plugin.

    Args:
        name: what it is registered under.
        group: ``cell`` or ``task``.
        kind: which form.
        folder: where to.

    Raises:
        PluginError: the name cannot be one, or there is such a file already.
    """
    check_name(group, name)
    load_plugins()
    if (group, name) in REGISTRY.entries:
        place = REGISTRY.get(group, name).file
        raise PluginError(f"There is a {group} '{name}' already: {place}. Take another name.")
    file = folder / f"{name}.py"
    if file.exists():
        raise PluginError(f"{file} exists already; nothing was written. Take another name.")
    template = files("rnnexp.app.commands.templates") / f"{group}_{kind}.txt"
    class_name = "".join(part.capitalize() for part in name.split("_")) or "Mine"
    text = template.read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace("NAME", name).replace("CLASS", class_name), encoding="utf-8")
    return file
