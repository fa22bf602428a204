"""Experiments on recurrent networks: plugins in, comparable records out.

Importing this package is cheap; torch is loaded by the layers that compute.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnexp.app.run.load import load_network, load_task

__version__ = "0.1.0"
__all__ = ["__version__", "load_network", "load_task"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name not in ("load_network", "load_task"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rnnexp.app.run import load

    return getattr(load, name)
