"""Plugin files that lie about the working folder: named where one is missed, never loaded."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from rnnexp.discovery import ENVIRONMENT, plugin_files
from rnnexp.errors import UnknownNameError
from rnnexp.registry import Kind

_MOST_FOLDERS, _MOST_FILES, _MOST_BYTES = 50, 500, 1 << 20


def folder_with(kind: Kind, name: str) -> Path | None:
    """Find the folder, this one or right below, in which a file seems to register a name.

    Args:
        kind: of the plugin.
        name: as it stands in the decorator.
    """
    decorator = re.compile(rf"@register_{kind}\(\s*(['\"]){re.escape(name)}\1")
    for folder in _folders():
        for file in islice(plugin_files(folder), _MOST_FILES):
            if decorator.search(_text(file)):
                return folder
    return None


def not_loaded(kind: Kind, name: str) -> UnknownNameError | None:
    """Make the error for a name whose file lies nearby, with how to load it."""
    folder = folder_with(kind, name)
    if folder is None:
        return None
    where = shlex.quote(str(folder))
    return UnknownNameError(
        f"The {kind} '{name}' is registered by a file in '{folder}', which is not loaded unasked: "
        f"export {ENVIRONMENT}={where}"
    )


def _folders() -> Iterator[Path]:
    here = Path()
    yield here
    with suppress(OSError):
        below = (f for f in here.iterdir() if f.is_dir() and not f.name.startswith((".", "_")))
        yield from sorted(islice(below, _MOST_FOLDERS))


def _text(file: Path) -> str:
    with suppress(OSError):
        if file.stat().st_size <= _MOST_BYTES:
            return file.read_text(encoding="utf-8", errors="replace")
    return ""
