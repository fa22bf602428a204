"""The source of the plugins that a run uses: kept beside its record, and put back from there.

A source is what a plugin was made of when it was loaded. Its file may be edited while jobs run.
"""

import hashlib
import sys
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rnnexp.app.config.data_files import digests_by_file, file_digests
from rnnexp.discovery import load_file, load_plugins, module_name
from rnnexp.errors import PluginError
from rnnexp.files import CONFIG
from rnnexp.registry import REGISTRY, Entry, Failure, Kind
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
    contents = dict[Path, bytes]()
    for entry in entries.values():
        file = folder / FOLDER / f"{entry.kind}s" / entry.file.name
        if file in contents:  # of another folder, and called alike
            file = file.with_stem(f"{file.stem}_{entry.name}")
        contents[file] = entry.content
    for file, content in contents.items():
        _write(file, content)
    return list(contents)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Another process of the job may be reading the one that is there.
    if not file.is_file() or file.read_bytes() != content:
        file.write_bytes(content)


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
    values: dict[str, Any] = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    return values, load_as_recorded(folder, values)


def load_as_recorded(folder: Path, values: Values) -> list[str]:
    """Load the plugins of a run as they were when it ran.

    Args:
        folder: the run's.
        values: its config.

    Returns:
        What was put back in place of a file that has changed or gone, in words.

    Raises:
        PluginError: a plugin has changed or gone, and its kept file cannot be loaded.
    """
    load_plugins(d for d in values["plugin_dirs"] if Path(d).expanduser().is_dir())
    notes = [_put_back(kind, name, folder) for kind, name in named(values)]
    return [note for note in notes if note]


def _put_back(kind: Kind, name: str, folder: Path) -> str | None:
    stored = sorted((folder / FOLDER).glob("*/*.py"))
    if not stored:
        return None
    REGISTRY.settle(kind, name)
    contents = [file.read_bytes() for file in stored]
    if _is_among(contents, kind, name):
        return None
    packages = {f"{kind}s": _package_of(kind, name)}
    failures = [f for file in stored for f in _replace(file, packages.get(file.parent.name, ""))]
    if not _is_among(contents, kind, name):
        raise PluginError(_not_put_back(kind, name, folder, failures))
    return f"{kind} {name} as it was then: {REGISTRY.get(kind, name).file}"


def _is_among(contents: Container[bytes], kind: Kind, name: str) -> bool:
    now = REGISTRY.entries.get((kind, name))
    return now is not None and now.content in contents


def _package_of(kind: Kind, name: str) -> str:
    # A file of an installed package may import its neighbours there, as they are now.
    entry = REGISTRY.entries.get((kind, name))
    module = sys.modules.get(entry.cls.__module__) if entry else None
    return (module.__package__ if module else None) or ""


def _replace(file: Path, package: str) -> list[Failure]:
    """Load a kept file; what stands under the names that it registers gives way.

    Args:
        file: which.
        package: that it is part of.

    Returns:
        Why it could not be loaded. What stands now stays then, and the process may try again.
    """
    file = file.resolve()
    before = list(REGISTRY.failures)
    # One that was put back before, and gave way to another since, is to register itself again.
    sys.modules.pop(module_name(file, package), None)
    with REGISTRY.giving_way():
        load_file(file, package)
    new = REGISTRY.failures[len(before) :]
    REGISTRY.failures[:] = before
    return new


def _not_put_back(kind: Kind, name: str, folder: Path, failures: Sequence[Failure]) -> str:
    if not failures:
        return f"{folder / FOLDER} does not hold the {kind} '{name}'."
    return (
        f"The {kind} '{name}' cannot be put back as it was when {folder} ran: "
        f"{'; '.join(map(str, failures))}. What it imports must be installed or on PYTHONPATH, as "
        "it was then."
    )
