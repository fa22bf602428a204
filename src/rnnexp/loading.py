"""Import large libraries, and leave them at the end, without a search for garbage among them."""

import gc
import importlib
import sys
from typing import Any, NoReturn


def load(name: str) -> Any:
    """Import a module by its full name, and all that it needs.

    Torch, Lightning and MLflow bring half a million objects that live as long as the process. To
    look for garbage among them takes a fifth of their import, and a second at the end.

    Returns:
        The module.
    """
    if name in sys.modules:
        return sys.modules[name]
    on = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        if on:
            gc.enable()


def leave(code: int) -> NoReturn:
    """End this process as `sys.exit` does, without a last search for garbage among all it has."""
    gc.freeze()
    sys.exit(code)
