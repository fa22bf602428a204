"""The source of the plugins that a run uses: kept beside its record, and put back from there.

A source is what a plugin was made of when it was loaded. Its file may be edited while jobs run.
"""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rnnexp.app.config.data_files import digests_by_file, file_digests
from rnnexp.discovery import load_file, load_plugins, module_name
from rnnexp.errors import PluginError
from rnnexp.registry import REGISTRY, Entry, Kind
from rnnexp.tracking import RunLog

FOLDER = "plugins"
Values = Mapping[str, Any]


def named(values: Values) -> list[tuple[Kind, str]]:
    """List the plugins that a config names: cell, task, callbacks."""
    kinds: tuple[Kind, ...] = ("cell", "task", "callback")
    names = {kind: [str(values[kind]["name"])] for kind in ("cell", "task")}
    names["callback"] = sorted(map(str, values.get("callbacks", ())))
    return [(kind, name) for kind in kinds for name in names[kind]]


def digests(values: Values) -> dict[str, str]:
    """Hash what a run is made of beside its config.

    Args:
        values: the config.

    Returns:
        The sha256 of the sources of its plugins by kind, of callbacks by name, too; and of the
        files that options name, by their keys: ``cell``, ``callback.decay``, ``task.path``.
    """
    plugins = {
        f"callback.{name}" if kind == "callback" else kind: digest(REGISTRY.get(kind, name).content)
        for kind, name in named(values)
    }
    return plugins | file_digests(values)


def contents(values: Values) -> dict[str, str]:
    """Hash the same by what it is called: ``cell gru``, ``file data.txt``; configs may share it."""
    plugins = {
        f"{kind} {name}": digest(REGISTRY.get(kind, name).content) for kind, name in named(values)
    }
    files = digests_by_file(values).items()
    return plugins | {f"file {name}": found for name, found in files}


def digest(content: bytes) -> str:
    """Hash the content of a file: sha256."""
    return hashlib.sha256(content).hexdigest()


def write_sources(values: Values, folder: Path) -> list[Path]:
    """Put the sources of a run's plugins into its folder.

    Args:
        values: the run's config.
        folder: the run's.

    Returns:
        The files there, each in the folder of its kind.
    """
    entries = dict[Path, Entry]()
    for kind, name in named(values):
        entry = REGISTRY.get(kind, name)
        entries.setdefault(entry.file, entry)  # one file with both
    return [_write(entry, folder / FOLDER / f"{entry.kind}s") for entry in entries.values()]


def _write(entry: Entry, place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    file = place / entry.file.name
    # Another process of the job may be reading the one that is there.
    if not file.is_file() or file.read_bytes() != entry.content:
        file.write_bytes(entry.content)
    return file


def keep_sources(values: Values, folder: Path, log: RunLog) -> None:
    """Put the sources of a run's plugins into its folder and its record; tag it with their hashes.

    Args:
        values: the run's config.
        folder: the run's.
        log: the run's record.
    """
    for file in write_sources(values, folder):
        log.artifact(file, f"{FOLDER}/{file.parent.name}")
    log.tags(source_tags(values))


def source_tags(values: Values) -> dict[str, str]:
    """Hash the sources of a run's plugins and its files, as the tags of its record."""
    return {f"rnnexp.source.{kind}": value for kind, value in digests(values).items()}


def recorded(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Read the config of a run, and load its plugins as they were when it ran.

    Returns:
        The config, and what `load_as_recorded` has put back.
    """
    values: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return values, load_as_recorded(folder, values)


def load_as_recorded(folder: Path, values: Values) -> list[str]:
    """Load the plugins of a run as they were when it ran.

    Args:
        folder: the run's.
        values: its config.

    Returns:
        What was put back in place of a file that has changed or gone, in words.

    Raises:
        PluginError: a kept file cannot be loaded.
    """
    load_plugins(d for d in values["plugin_dirs"] if Path(d).expanduser().is_dir())
    notes = [_put_back(kind, name, folder) for kind, name in named(values)]
    return [note for note in notes if note]


def _put_back(kind: Kind, name: str, folder: Path) -> str | None:
    stored = sorted((folder / FOLDER).glob("*/*.py"))
    now = REGISTRY.entries.get((kind, name))
    if not stored:
        return None
    REGISTRY.settle(kind, name)
    if now is not None and now.content in [file.read_bytes() for file in stored]:
        return None
    for file in stored:
        _replace(file)
    if (kind, name) not in REGISTRY.entries:
        failures = "; ".join(map(str, REGISTRY.failures))
        raise PluginError(f"{folder / FOLDER} does not hold the {kind} '{name}'. {failures}")
    return f"{kind} {name} as it was then: {REGISTRY.get(kind, name).file}"


def _replace(file: Path) -> None:
    # What stands under the same names now makes room first: two of a name are an error.
    before = dict(REGISTRY.entries)
    REGISTRY.entries.clear()
    # One that was put back before, and gave way to another since, is to register itself again.
    sys.modules.pop(module_name(file), None)
    load_file(file.resolve())
    REGISTRY.entries = before | REGISTRY.entries
