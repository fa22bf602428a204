"""The pictures of one run, from its journal."""

import math
from pathlib import Path

from rnnexp.report.flow_map import draw_flow_map
from rnnexp.report.norms import draw_norms
from rnnexp.tracking import RunRecord, load_run
from rnnexp.tracking.journal import read_all


def draw_run(folder: Path, threshold: float | None = None) -> list[Path]:
    """Draw norms over steps, and for each layer the flow of the gradient through time.

    Args:
        folder: the run's; the pictures are drawn into it.
        threshold: the clipping threshold of the global norm, if it was clipped.

    Returns:
        The pictures, and the numbers behind them.
    """
    run = load_run(folder)
    files: list[Path] = []
    if run.metrics.get("grad/raw_norm"):
        files += draw_norms(
            run.metrics["grad/raw_norm"],
            run.metrics.get("grad/clipped_norm", ()),
            folder / "norms.png",
            threshold=threshold,
            cliffs=[*run.metrics.get("grad/cliff", ()), *_refused(run, folder)],
            title=run.name,
        )
    for layer in run.profiles:
        files += _draw_flow(run, layer, folder)
    return files


def _refused(run: RunRecord, folder: Path) -> list[tuple[int, float]]:
    """Find the gradients for which the run ended: their steps have no figures of their own."""
    known = {step for step, _ in run.metrics["grad/raw_norm"]}
    events = read_all(folder / "cliffs.jsonl")
    steps = [event["step"] for event in events if event["kind"] == "nonfinite"]
    return [(step, math.inf) for step in steps if step not in known]


def _draw_flow(run: RunRecord, layer: str, folder: Path) -> list[Path]:
    widest = max(len(norms) for _, norms in run.profiles[layer])
    # A last window can be shorter than the others: it is left out.
    kept = [(step, norms) for step, norms in run.profiles[layer] if len(norms) == widest]
    name = "flow.png" if len(run.profiles) == 1 else f"flow_{layer}.png"
    return draw_flow_map(
        [step for step, _ in kept],
        [norms for _, norms in kept],
        folder / name,
        cliff_steps=[step for step, _ in run.metrics.get("grad/cliff", ())],
        title=run.name if len(run.profiles) == 1 else f"{run.name}  {layer}",
    )
