"""The pictures that a run ends with."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rnnexp.training.interrupt import Stopped

T = TypeVar("T")


def draw_run_pictures(folder: Path, threshold: float | None) -> list[Path]:
    """Draw a run's gradient norms, their flow through time, and its forecast, if it has one.

    Args:
        folder: the run's.
        threshold: the clipping threshold of the global norm, if it was clipped.

    Returns:
        The pictures and the numbers behind them; what cannot be drawn is said, and left out.
    """
    files: list[Path] = []
    drawings = _tried(lambda: _drawings(folder, threshold), f"pictures of {folder}") or {}
    for name, draw in drawings.items():
        files += _tried(draw, f"{folder / name}") or []
    return files


def _drawings(folder: Path, threshold: float | None) -> dict[str, Callable[[], list[Path]]]:
    from rnnexp.report.run_pictures import drawings_of  # matplotlib takes half a second

    return drawings_of(folder, threshold)


def _tried(act: Callable[[], T], what: str) -> T | None:
    try:
        return act()
    except (Exception, Stopped) as error:
        print(f"rnnexp: {what} not drawn: {error}", file=sys.stderr)
        if isinstance(error, Stopped):
            raise
        return None
