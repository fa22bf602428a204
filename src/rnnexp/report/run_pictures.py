"""The pictures of one run, from its journal and its forecast."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rnnexp.files import CLIFFS
from rnnexp.report.flow_map import draw_flow_map
from rnnexp.report.forecast import draw_forecast
from rnnexp.report.norms import draw_norms
from rnnexp.report.words import TITLE, cut
from rnnexp.tracking import RunRecord, load_run
from rnnexp.tracking.journal import read_all

Drawing = Callable[[], list[Path]]


def drawings_of(folder: Path, threshold: float | None = None) -> dict[str, Drawing]:
    """Find what of a run there is to draw: its norms, each layer's flow through time, a forecast.

    Args:
        folder: the run's; the pictures are drawn into it.
        threshold: the clipping threshold of the global norm, if it was clipped.

    Returns:
        What draws each picture, by the picture's name; it gives the picture and its numbers.
    """
    run = load_run(folder)
    drawings: dict[str, Drawing] = {}
    if run.metrics.get("grad/raw_norm"):
        drawings["norms.png"] = partial(_draw_norms, run, folder / "norms.png", threshold)
    for layer in run.profiles:
        name = "flow.png" if len(run.profiles) == 1 else f"flow_{layer}.png"
        drawings[name] = partial(_draw_flow, run, layer, folder / name)
    if (numbers := folder / "forecast.csv").is_file():
        file = folder / "forecast.png"
        drawings[file.name] = partial(draw_forecast, numbers, file, title=run.name)
    return drawings


def _draw_norms(run: RunRecord, file: Path, threshold: float | None) -> list[Path]:
    return draw_norms(
        run.metrics["grad/raw_norm"],
        run.metrics.get("grad/clipped_norm", ()),
        file,
        threshold=threshold,
        cliffs=[*run.metrics.get("grad/cliff", ()), *_refused(run, file.parent)],
        title=run.name,
    )


def _refused(run: RunRecord, folder: Path) -> list[tuple[int, float]]:
    """Find the gradients for which a run ended whose record does not name them: an older one's."""
    keys = ("grad/raw_norm", "grad/cliff")
    known = {step for key in keys for step, _ in run.metrics.get(key, ())}
    events = read_all(folder / CLIFFS)
    steps = [event["step"] for event in events if event["kind"] == "nonfinite"]
    return [(step, math.inf) for step in steps if step not in known]


def _draw_flow(run: RunRecord, layer: str, file: Path) -> list[Path]:
    widest = max(len(norms) for _, norms in run.profiles[layer])
    # A last window can be shorter than the others: it is left out.
    kept = [(step, norms) for step, norms in run.profiles[layer] if len(norms) == widest]
    title = run.name
    if len(run.profiles) > 1:
        title = f"{cut(run.name, TITLE - len(layer) - 2)}  {layer}"
    return draw_flow_map(
        [step for step, _ in kept],
        [norms for _, norms in kept],
        file,
        cliffs=_cliffs(run, layer, dict(kept), file.parent),
        title=title,
    )


def _cliffs(
    run: RunRecord, layer: str, recorded: dict[int, Sequence[float]], folder: Path
) -> list[tuple[int, Sequence[float]]]:
    """Give the norms of a layer at each cliff: an event has those of one layer."""
    known, steps = dict(recorded), len(next(iter(recorded.values())))
    for event in read_all(folder / CLIFFS):
        shown, begin = [*map(float, event["grad_norm_T"])], event.get("begin", 0)
        after = steps - begin - len(shown)
        if shown and after >= 0 and (len(run.profiles) == 1 or event.get("cell") == layer):
            norms = [*[math.nan] * begin, *shown, *[math.nan] * after]
            known.setdefault(event["step"], norms)
    nothing = [math.nan] * steps
    return [(step, known.get(step, nothing)) for step, _ in run.metrics.get("grad/cliff", ())]
