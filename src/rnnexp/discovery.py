"""Find and load plugins: the shipped folder, the folders a user names, installed packages.

Nothing is imported from the working folder unasked. A file that fails is kept as a `Failure`
and the others load.
"""

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType

from rnnexp.declared import check_entry
from rnnexp.errors import DeclaredError, NameTakenError, PluginError, UserError
from rnnexp.guard import Pressed, guarded
from rnnexp.loading import importing
from rnnexp.paths import plugins_dir
from rnnexp.registry import REGISTRY, Entry, Failure, Kind

ENTRY_POINTS = "rnnexp.plugins"
ENVIRONMENT = "RNNEXP_PLUGINS"
_KINDS = ("cells", "tasks", "callbacks")


def load_plugins(extra_dirs: Iterable[str] = ()) -> list[Failure]:
    """Load every plugin that can be found; a file that is loaded already is left alone.

    Args:
        extra_dirs: folders beside the shipped one and those named in ``$RNNEXP_PLUGINS``.

    Returns:
        The files that failed, with the reason.

    Raises:
        PluginError: a named folder does not exist.
    """
    named = tuple(plugin_folders(extra_dirs))
    with importing():  # the others come after it: what they do is not known
        _load_files(plugins_dir())
    for folder in named:
        _load_files(folder)
    for point in entry_points(group=ENTRY_POINTS):
        _loads(f"entry point {point.name} = {point.value}", point.load)
    return REGISTRY.failures


def plugin_files(folder: Path) -> Iterator[Path]:
    """List the Python files of a plugin folder, and of its ``cells``, ``tasks``, ``callbacks``."""
    for place in (folder, *(folder / kind for kind in _KINDS)):
        yield from sorted(f for f in place.glob("*.py") if not f.name.startswith("_"))


def _load_files(folder: Path) -> None:
    for file in plugin_files(folder):
        load_file(file)


def load_file(file: Path, package: str = "") -> None:
    """Import one plugin file under a module name of its own, and check what it declares.

    Args:
        file: which.
        package: what its relative imports start from; without one it has none.
    """
    name = module_name(file, package)
    if name in sys.modules:
        return
    loaded = False
    try:
        loaded = _loads(str(file), lambda: _import(name, file), _is_shipped(file))
    finally:
        if not loaded:
            sys.modules.pop(name, None)


def module_name(file: Path, package: str = "") -> str:
    """Name the module of a plugin file: stable, and distinct for files of the same name."""
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]
    return f"{package}{'.' if package else ''}rnnexp_plugin_{digest}_{file.stem}"


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


def _is_shipped(file: Path) -> bool:
    return file.is_relative_to(plugins_dir())


class _AsItIs(SourceFileLoader):
    """Compiles a file anew: for Python one that was edited within a second may be unchanged.

    Nor does it leave a ``__pycache__`` in a user's folder.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import(name: str, file: Path) -> None:
    loader = None if _is_shipped(file) else _AsItIs(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _loads(what: str, load: Callable[[], object], shipped: bool = False) -> bool:
    # A plugin that exits or raises a KeyboardInterrupt must not end the program; Ctrl-C must.
    if any(failure.file == what for failure in REGISTRY.failures):
        return False
    before = dict(REGISTRY.entries)
    try:
        with guarded(what):
            load()
        if not shipped:  # a test checks those, and each start would pay for it
            _check_new(before)
    except Pressed:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        new = tuple(key for key, entry in REGISTRY.entries.items() if entry is not before.get(key))
        REGISTRY.entries = before  # a class of a half-loaded file may lack what stands below it
        REGISTRY.failures.append(replace(_failure(what, error), names=new))
        return False
    return True


def _check_new(before: Mapping[tuple[Kind, str], Entry]) -> None:
    for key, entry in REGISTRY.entries.items():
        if entry is not before.get(key):
            check_entry(entry)


def _failure(what: str, error: BaseException) -> Failure:
    lines = [frame.lineno for frame in _frames_in({what}, error)]
    if isinstance(error, SyntaxError) and error.filename == what:
        lines.append(error.lineno)
    if isinstance(error, DeclaredError):
        lines.append(error.line)
    taken = error.key if isinstance(error, NameTakenError) else None
    return Failure(what, _said(what, error), lines[-1] if lines else None, taken)


def _frames_in(files: Container[str], error: BaseException) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if frame.filename in files]


def place_of(error: BaseException, files: Container[str]) -> str | None:
    """Name the innermost line of some files that an error came through, as FILE:LINE.

    Args:
        error: any.
        files: which files.
    """
    frames = _frames_in(files, error)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def place_in_plugin(error: BaseException) -> str | None:
    """Name the innermost line of a user's plugins that an error came through; None if of none."""
    files = {str(e.file) for e in REGISTRY.entries.values() if not _is_shipped(e.file)}
    return place_of(error, files)


def _said(what: str, error: BaseException) -> str:
    if isinstance(error, UserError):  # in words already
        return str(error)
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, ImportError) and _wants_neighbour(Path(what), error):
        text += (
            ". A plugin is one file and cannot import its neighbours: put what it takes from "
            "there into the file itself, or into a package that is installed"
        )
    return text


def _wants_neighbour(file: Path, error: ImportError) -> bool:
    if not file.is_file():  # of an installed package, which has its own imports
        return False
    if "relative import" in str(error):
        return True
    name = (error.name or "").partition(".")[0]
    top = file.parent.parent if file.parent.name in _KINDS else file.parent
    places = [folder / name for folder in (file.parent, top)]
    return bool(name) and any(p.is_dir() or p.with_suffix(".py").is_file() for p in places)
