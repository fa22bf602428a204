"""Import large libraries, and leave them at the end, without what only takes time."""

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from logging import LogRecord


def wait_asleep() -> None:
    """Have torch's threads fall asleep soon where they wait for work; before torch is imported.

    They look for it in a loop otherwise, for most of a millisecond after each operation, and on a
    machine whose cores others use, too, they keep each other from it. ``python -m benchmarks busy``
    shows by how much. What the user has set stands.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def load(name: str) -> Any:
    """Import a module by its full name, and all that it needs.

    Returns:
        The module.
    """
    if name in sys.modules:
        return sys.modules[name]
    with importing():
        return importlib.import_module(name)


@contextmanager
def importing() -> Generator[None]:
    """Spare, for the time of the block, what only takes time.

    Torch, Lightning and MLflow bring half a million objects that live as long as the process. To
    look for garbage among them takes a fifth of their import, and a second at the end.
    """
    import logging  # as what is imported here does; `rnnexp --help` does without

    logging.getLogger("matplotlib").addFilter(_has_a_place)
    on = gc.isenabled()
    gc.disable()
    try:
        with _postponed("scipy.signal"):
            yield
    finally:
        gc.freeze()
        if on:
            gc.enable()


def leave(code: int | str | None) -> NoReturn:
    """End this process as `sys.exit` does, without a last search for garbage among all it has."""
    gc.freeze()
    sys.exit(code)


def _has_a_place(record: "LogRecord") -> bool:
    # Without a home that can be written matplotlib keeps its fonts in a temporary folder: no news.
    return record.funcName != "_get_config_or_cache_dir"


class _Postponed(ModuleType):
    """Stands for a module until somebody wants more of it than a look."""

    hamming = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # as asked of every module by who looks for the source of a line
            raise AttributeError(name)
        _forget(self)
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _postponed(name: str) -> Generator[None]:
    """Keep a module from being imported by who does not use it, for the time of the block.

    torchmetrics, hence Lightning, imports scipy.signal to see whether there is a ``hamming`` in it,
    which takes a fifth of all that they import.
    """
    stands_in = _Postponed(name)
    if name not in sys.modules and importlib.util.find_spec(name.partition(".")[0]):
        sys.modules[name] = stands_in
    try:
        yield
    finally:
        _forget(stands_in)


def _forget(stands_in: ModuleType) -> None:
    if sys.modules.get(stands_in.__name__) is stands_in:
        del sys.modules[stands_in.__name__]
