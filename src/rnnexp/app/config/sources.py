"""The source of the plugins that a run uses: kept beside its record, and put back from there."""

import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rnnexp.discovery import load_file, load_plugins, module_name
from rnnexp.errors import PluginError
from rnnexp.registry import REGISTRY, Kind
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
    """Hash the files of the plugins that a config names, by kind; of callbacks by name, too."""
    return {
        f"callback.{name}" if kind == "callback" else kind: digest(REGISTRY.get(kind, name).file)
        for kind, name in named(values)
    }


def digest(file: Path) -> str:
    """Hash a file: sha256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def keep_sources(values: Values, folder: Path, log: RunLog) -> None:
    """Copy the files of a run's plugins into its folder and its record; tag it with their hashes.

    Args:
        values: the run's config.
        folder: the run's.
        log: the run's record.
    """
    kept = set[Path]()
    for kind, name in named(values):
        source = REGISTRY.get(kind, name).file
        if source in kept:  # one file with both
            continue
        kept.add(source)
        place = folder / FOLDER / f"{kind}s"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place / source.name)
        log.artifact(place / source.name, f"{FOLDER}/{kind}s")
    log.tags(source_tags(values))


def source_tags(values: Values) -> dict[str, str]:
    """Hash the files of a run's plugins, as the tags of its record."""
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
    if now is not None and digest(now.file) in map(digest, stored):
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
