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
    norms = GroupNorms(made.module).measure()
    lines = [f"step {step}  loss {made.loss:.6g}  |grad| {total(norms):.6g}"]
    for batch in made.batches:
        lines.append(f"batch of {batch.inputs_TBI.shape[1]} rows from seed {batch.seed}")
    lines += [f"  {group:<20} {norm:.4g}" for group, norm in norms.items()]
    for flow in made.flows:
        for cell, norms_T in flow.norms.items():
            lines += ["", f"||dL/dh_t|| of {cell}:"]
            lines += profile_lines(norms_T, flow.begin)
    return lines


def profile_lines(norms: Sequence[float], begin: int = 0) -> list[str]:
    """Draw norms over time as bars on a log scale, the largest of each stretch of time.

    Above them stands what the shortest and the longest bar are: both are so of any range.

    Args:
        norms: over time.
        begin: steps before the first of them.
    """
    width = -(-len(norms) // ROWS)
    stretches = [norms[at : at + width] for at in range(0, len(norms), width)]
    peaks = [max(stretch, key=size_of) for stretch in stretches]
    usable = [norm for norm in peaks if norm > 0 and math.isfinite(norm)]
    low, high = min(usable, default=1.0), max(usable, default=1.0)
    each = f"largest of {width} steps, " if width > 1 else ""
    lines = [f"  {each}bars on a log scale from {low:.3g} to {high:.3g}, {high / low:.3g}-fold"]
    for i, (stretch, peak) in enumerate(zip(stretches, peaks, strict=True)):
        first = begin + i * width + 1
        label = f"t={first}" + (f"-{first + len(stretch) - 1}" if len(stretch) > 1 else "")
        lines.append(f"  {label:<12} {peak:10.3g}  {_bar(peak, low, high)}".rstrip())
    return lines


def _bar(norm: float, low: float, high: float) -> str:
    if not (norm > 0 and math.isfinite(norm)):
        return ""
    above, whole = math.log(norm) - math.log(low), math.log(high) - math.log(low)
    share = above / whole if high > low else 1.0
    return "#" * (1 + round(share * (BAR - 1)))
