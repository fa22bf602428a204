"""The pictures that a run ends with."""

import sys
from pathlib import Path

from rnnexp.training.interrupt import Stopped


def draw_run_pictures(folder: Path, threshold: float | None) -> list[Path]:
    """Draw what a run's journal holds: its gradient norms, and their flow through time.

    Args:
        folder: the run's.
        threshold: the clipping threshold of the global norm, if it was clipped.

    Returns:
        The pictures and the numbers behind them; none where drawing failed, which is said.
    """
    try:
        from rnnexp.report.run_pictures import draw_run  # matplotlib takes half a second

        return draw_run(folder, threshold)
    except Stopped as error:
        print(f"rnnexp: pictures of {folder} not drawn: {error}", file=sys.stderr)
        raise
    except Exception as error:
        print(f"rnnexp: pictures of {folder} not drawn: {error}", file=sys.stderr)
        return []
