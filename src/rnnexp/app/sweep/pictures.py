"""The pictures that a sweep ends with."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rnnexp.errors import unknown
from rnnexp.tracking.outcome import Outcome

Draw = Callable[[Sequence[Outcome], Path], list[Path]]


def draw_sweep_picture(name: str, outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Draw what ``sweep.picture`` or a task's `sweep_picture` names into the folder of a sweep.

    Args:
        name: of `SWEEP_PICTURES`.
        outcomes: the sweep's runs; those that did not finish are left out.
        folder: where picture and numbers go.

    Returns:
        The files; none where no run finished, or where drawing failed, which is said: a picture
        is no reason to lose the end of a sweep.

    Raises:
        UnknownNameError: there is no such picture.
    """
    if name not in SWEEP_PICTURES:
        raise unknown("sweep picture", name, SWEEP_PICTURES)
    finished = [outcome for outcome in outcomes if outcome.status == "FINISHED"]
    if not finished:
        return []
    try:
        return SWEEP_PICTURES[name](finished, folder)
    except Exception as error:
        print(f"rnnexp: picture {name} not drawn: {error}", file=sys.stderr)
        return []


def _cliff_surface(runs: Sequence[Outcome], folder: Path) -> list[Path]:
    from rnnexp.report.cliff_picture import draw_cliff_surface  # matplotlib takes half a second

    return draw_cliff_surface(runs, folder)


def _zoo(runs: Sequence[Outcome], folder: Path) -> list[Path]:
    from rnnexp.app.sweep.zoo import draw_zoo

    return draw_zoo(runs, folder)


SWEEP_PICTURES: dict[str, Draw] = {"cliff_surface": _cliff_surface, "zoo": _zoo}
