"""A cliff put into its place: layer, group of parameters, time step; and its cause."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rnnexp.monitors.cliffs import Cliff
from rnnexp.monitors.events import CliffEvent
from rnnexp.monitors.explanation import with_cause
from rnnexp.monitors.flow import peak_step
from rnnexp.monitors.groups import dominating, is_reverse, layer_of, split_group
from rnnexp.monitors.passes import Flow, Pass, flows_of, peak_of
from rnnexp.monitors.usual import Usual, source_of, source_sum_of


@dataclass(frozen=True)
class Step:
    """What is known of a step at which there is a cliff.

    Args:
        figures: of the step, as they go on record.
        groups: raw norms of the groups of parameters.
        passes: of its batches.
        control_norms: of other batches with the same weights.
    """

    figures: Mapping[str, float]
    groups: Mapping[str, float]
    passes: Sequence[Pass | Flow]
    control_norms: tuple[float, ...]


def locate(cliff: Cliff, step: Step, usual: Usual) -> CliffEvent:
    """Make the event of a cliff; what is usual is that of the steps before it."""
    kind, cell = split_group(dominating(step.groups))
    flow = max(flows_of(step.passes), key=lambda flow: flow.peak, default=None)
    shown = _shown(flow, cell)
    profile = flow.norms[shown] if flow else ()
    begin = flow.begin if flow else 0
    event = CliffEvent(
        step=cliff.step,
        kind=cliff.kind,
        loss_before=step.figures.get("train/loss", math.nan),
        loss_after=None,
        raw_norm=cliff.norm,
        clipped_norm=step.figures.get("grad/clipped_norm", math.nan),
        median=cliff.median,
        ratio=cliff.ratio,
        group=kind,
        layer=layer_of(cell),
        time_step=begin + _peak(profile, shown) if len(profile) else None,
        grad_norm_T=tuple(profile),
        lr=step.figures.get("train/lr", math.nan),
        batch_seed=flow.seed if flow else next((p.seed for p in reversed(step.passes)), 0),
        reverse=is_reverse(cell),
        begin=begin,
        cell=shown,
        control_norms=step.control_norms,
        source=source_of(flow, shown) if flow else math.nan,
        source_sum=source_sum_of(flow, shown) if flow else math.nan,
    )
    return with_cause(_beside(event, usual))


def _beside(event: CliffEvent, usual: Usual) -> CliffEvent:
    event = replace(event, loss_median=usual.loss)
    ends = usual.ends_of(event.cell, event.begin)
    if ends is None:
        return event
    return replace(
        event,
        usual_step=ends.step,
        usual_source=ends.source,
        usual_peak=ends.peak,
        usual_source_sum=ends.source_sum,
        usual_sum=ends.sum,
    )


def _shown(flow: Flow | None, cell: str) -> str:
    """Name the cell whose norms are shown: the one with the largest where the readout dominates.

    Of several with norms that are not finite it is the upper one, which is nearer to the loss.
    """
    if flow is None:
        return ""
    norms = flow.norms
    return cell if norms.get(cell) else max(norms, key=lambda c: (peak_of(norms[c]), layer_of(c)))


def _peak(profile: Sequence[float], cell: str) -> int:
    """Find the step with the largest norm, from 1, in the order of the sequence.

    Of norms that are not finite it is the one that the cell's own backward pass met first.
    """
    if not is_reverse(cell):
        return peak_step(profile) + 1
    return len(profile) - peak_step(profile[::-1])
