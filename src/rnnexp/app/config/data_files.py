"""The files that options of plugins name: what they hold is part of what a run is."""

from collections.abc import Generator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from rnnexp.training.checkpoints import digest_of

_GROUPS = ("cell", "task", "callbacks")


def file_digests(values: Mapping[str, Any]) -> dict[str, str]:
    """Hash the files that the options of cell, task and callbacks name.

    Args:
        values: a config.

    Returns:
        The sha256 of each file by the key that names it, such as ``task.path``; a folder, and a
        file that is not there, has none.
    """
    return {key: digest for key, _, digest in _found(values)}


def digests_by_file(values: Mapping[str, Any]) -> dict[str, str]:
    """Do as `file_digests`, by the names of the files themselves."""
    return {text: digest for _, text, digest in _found(values)}


def with_files_of(values: Mapping[str, Any], started: Path) -> dict[str, Any]:
    """Name a file by its place where a relative path leads to one from elsewhere only.

    Args:
        values: a config.
        started: the working folder that it was used in.

    Returns:
        The config with that file's place.
    """
    return {key: _placed(v, started) if key in _GROUPS else v for key, v in values.items()}


def _placed(value: Any, started: Path) -> Any:
    if isinstance(value, dict):
        return {k: v if k == "name" else _placed(v, started) for k, v in value.items()}
    if isinstance(value, list):
        return [_placed(part, started) for part in value]
    if not isinstance(value, str) or _is_file(Path(value)) or not _is_file(started / value):
        return value
    return str(started / value)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text may be no path at all
        return False


def _found(values: Mapping[str, Any]) -> Generator[tuple[str, str, str]]:
    named = [pair for group in _GROUPS for pair in _texts(values.get(group), group)]
    for key, text in named:
        digest = _digest(text) if text else None
        if digest is not None:
            yield key, text, digest


def _texts(value: Any, key: str) -> Generator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, f"{key}.{name}") if name != "name" else ()
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _texts(part, f"{key}.{number}")


def _digest(text: str) -> str | None:
    try:
        file = Path(text).expanduser()
        if not file.is_file():
            return None
        seen = file.stat()
        return _digest_of(file.resolve(), seen.st_mtime_ns, seen.st_size)
    except (OSError, ValueError, RuntimeError):  # it may not be read, or the text can be no path
        return None


@lru_cache(maxsize=256)
def _digest_of(file: Path, changed: int, size: int) -> str:
    del changed, size  # with them, the jobs of a sweep read a file once
    return digest_of(file)
