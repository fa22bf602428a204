"""``rnnexp replay``: make a recorded step again, and show where its gradient comes from."""

import math
from collections.abc import Sequence

from rnnexp.app.commands.recorded import asked_for, keep
from rnnexp.app.run.rebuild import Rebuilt, rebuild
from rnnexp.monitors.events import load_events
from rnnexp.monitors.explanation import explain
from rnnexp.monitors.groups import GroupNorms, size_of, total

BAR = 40
ROWS = 25


def main(command: str, arguments: list[str]) -> int:
    """Print loss, norms, and the norm of dL/dh_t over time; a cliff's step is the default."""
    folder, step = asked_for(command, arguments, __doc__)
    lines = describe(rebuild(folder, step), step)
    told = [explain(event) for event in load_events(folder) if event.step == step]
    text = "\n".join([*lines, *(["", *told] if told else [])])
    print(text)
    file = folder / f"replay_{step}.txt"
    file.write_text(text + "\n", encoding="utf-8")
    keep(folder, [file])
    return 0


def describe(made: Rebuilt, step: int) -> list[str]:
    """Describe a step in lines: loss, norms by group, profile over time for each cell."""
    norms = GroupNorms(made.module.network).measure()
    lines = [f"step {step}  loss {made.loss:.6g}  |grad| {total(norms):.6g}"]
    for batch in made.batches:
        lines.append(f"batch of {batch.inputs_TBI.shape[1]} rows from seed {batch.seed}")
    lines += [f"  {group:<20} {norm:.4g}" for group, norm in norms.items()]
    for flow in made.flows:
        for cell, norms_T in flow.norms.items():
            lines += ["", f"||dL/dh_t|| of {cell}, log scale:"]
            lines += profile_lines(norms_T, flow.begin)
    return lines


def profile_lines(norms: Sequence[float], begin: int = 0) -> list[str]:
    """Draw norms over time as bars on a log scale, the largest of each stretch of time.

    Args:
        norms: over time.
        begin: steps before the first of them.
    """
    width = -(-len(norms) // ROWS)
    stretches = [norms[at : at + width] for at in range(0, len(norms), width)]
    peaks = [max(stretch, key=size_of) for stretch in stretches]
    usable = [norm for norm in peaks if norm > 0 and math.isfinite(norm)]
    low, high = (math.log10(min(usable)), math.log10(max(usable))) if usable else (0.0, 0.0)
    return [
        f"  t={begin + i * width + 1:<6} {peak:10.3g}  {_bar(peak, low, high)}"
        for i, peak in enumerate(peaks)
    ]


def _bar(norm: float, low: float, high: float) -> str:
    if not (norm > 0 and math.isfinite(norm)):
        return ""
    share = (math.log10(norm) - low) / (high - low) if high > low else 1.0
    return "#" * (1 + round(share * (BAR - 1)))
