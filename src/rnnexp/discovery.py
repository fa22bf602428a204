"""Find and load plugins: the shipped folder, the folders a user names, installed packages.

Nothing is imported from the working folder unasked. A file that fails is kept as a `Failure`
and the others load.
"""

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

from rnnexp.errors import NameTakenError, PluginError
from rnnexp.paths import plugins_dir
from rnnexp.registry import REGISTRY, Failure

ENTRY_POINTS = "rnnexp.plugins"
ENVIRONMENT = "RNNEXP_PLUGINS"


def load_plugins(extra_dirs: Iterable[str] = ()) -> list[Failure]:
    """Load every plugin that can be found; a file that is loaded already is left alone.

    Args:
        extra_dirs: folders beside the shipped one and those named in ``$RNNEXP_PLUGINS``.

    Returns:
        The files that failed, with the reason.

    Raises:
        PluginError: a named folder does not exist.
    """
    for folder in (plugins_dir(), *plugin_folders(extra_dirs)):
        for file in plugin_files(folder):
            load_file(file)
    for point in entry_points(group=ENTRY_POINTS):
        _guarded(f"entry point {point.name} = {point.value}", point.load)
    return REGISTRY.failures


def plugin_files(folder: Path) -> Iterator[Path]:
    """List the Python files of a plugin folder, and of its ``cells``, ``tasks``, ``callbacks``."""
    for place in (folder, *(folder / kind for kind in ("cells", "tasks", "callbacks"))):
        yield from sorted(f for f in place.glob("*.py") if not f.name.startswith("_"))


def load_file(file: Path) -> None:
    """Import one plugin file under a module name of its own."""
    name = module_name(file)
    if name in sys.modules:
        return
    _guarded(str(file), lambda: _import(name, file))


def module_name(file: Path) -> str:
    """Name the module of a plugin file: stable, and distinct for files of the same name."""
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]
    return f"rnnexp_plugin_{digest}_{file.stem}"


def plugin_folders(extra_dirs: Iterable[str] = ()) -> Iterator[Path]:
    """List the folders that a user names: those in ``$RNNEXP_PLUGINS``, then those given.

    Raises:
        PluginError: one does not exist.
    """
    named = [part for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    for name in (*named, *extra_dirs):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise PluginError(
                f"The plugin folder '{name}' does not exist. Correct plugin_dirs or ${ENVIRONMENT}."
            )
        yield folder.resolve()  # as tracebacks name it


def _import(name: str, file: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _guarded(what: str, load: object) -> None:
    assert callable(load)
    if any(failure.file == what for failure in REGISTRY.failures):
        return
    before = dict(REGISTRY.entries)
    try:
        load()
    except (Exception, SystemExit) as error:  # a plugin that exits must not end the program
        REGISTRY.entries = before  # a class of a half-loaded file may lack what stands below it
        REGISTRY.failures.append(_failure(what, error))


def _failure(what: str, error: BaseException) -> Failure:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == what
    ]
    if isinstance(error, SyntaxError) and error.filename == what:
        lines.append(error.lineno)
    taken = error.key if isinstance(error, NameTakenError) else None
    return Failure(what, f"{type(error).__name__}: {error}", lines[-1] if lines else None, taken)
