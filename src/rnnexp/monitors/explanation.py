"""Why a cliff came about, in numbers and in words, from what is kept of it."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

from rnnexp.monitors.events import Cause, CliffEvent, Origin, load_events
from rnnexp.monitors.groups import REVERSE, size_of
from rnnexp.monitors.passes import peak_of

TEXT = "cliffs.md"
_NONE = 1.05
"""A growth below is none worth a number."""
_MOST = 2 / 3
"""Share of a change, on a logarithmic scale, that counts as all of it."""


def with_cause(event: CliffEvent) -> CliffEvent:
    """Fill in what the figures of an event say of its cause and its origin."""
    return replace(event, cause=cause_of(event), origin=origin_of(event))


def cause_of(event: CliffEvent) -> Cause | None:
    """Tell whether a cliff belongs to its batch or to the weights that it was met with.

    The batches of the steps before it were ordinary. With the weights of the cliff they have

        share = log(control / usual) / log(norm / usual)

    of its height: near 0 the batch is the cause, near 1 the weights are, whatever the batch. So are
    they of a loss or gradient that is not finite where theirs is none either.

    Returns:
        None where no other batch was tried.
    """
    if not event.control_norms:
        return None
    control = median(_sizes(event.control_norms))
    if event.kind == "nonfinite":
        return "batch" if math.isfinite(control) else "weights"
    return ("batch", "both", "weights")[_third(_share(control, event.median, event.raw_norm))]


def origin_of(event: CliffEvent) -> Origin | None:
    """Tell whether more of the gradient enters, or more of it is left on its way back.

        sum / usual sum  =  source sum / usual source sum  *  reach / usual reach

    with sum that of ||dL/dh_t|| over t, source sum that of the norms of what enters, and the reach
    their quotient; usual is what the last record of the flow has shown. Of sums, since the gradient
    of a weight is one, of an outer product a step,

        ||dL/dR||  <=  sum over t of ||dL/dz_t|| ||h_{t-1}||

    and so a gradient that arrives everywhere makes a cliff even where no ||dL/dh_t|| is large. The
    bound is reached where the products point the same way, as those of one gradient do that comes
    back step by step; the root of the sum of squares would be that of products at right angles.

    Returns:
        None without a trace, and where the sum is less than twice the usual one.
    """
    whole, usual, usual_source = sum(event.grad_norm_T), event.usual_sum, event.usual_source_sum
    known = all(0 < norm < math.inf for norm in (event.source_sum, whole, usual, usual_source))
    if not known or whole < 2 * usual:
        return None
    share = math.log(event.source_sum / usual_source) / math.log(whole / usual)
    return ("time", "both", "outputs")[_third(share)]


def explain(event: CliffEvent) -> str:
    """Explain a cliff in a paragraph: how high, where in the network and in time, and why."""
    parts = [_height(event), _place(event), _through_time(event), _loss(event), _why(event)]
    return " ".join(part for part in parts if part)


def write_explanations(folder: Path) -> str:
    """Write ``cliffs.md``: each cliff of a run in a paragraph.

    Args:
        folder: the run's, with its events.

    Returns:
        The paragraph of the largest cliff; empty where there is none, and no file.
    """
    events, file = load_events(folder), folder / TEXT
    if not events and not file.exists():  # the cliff of one may have been taken back
        return ""
    text = "".join(f"{explain(event)}\n\n" for event in events)
    with suppress(OSError):  # a full disk: the run ends as it would
        file.write_text(text, encoding="utf-8")
    return "" if not events else explain(max(events, key=lambda event: size_of(event.raw_norm)))


def _height(event: CliffEvent) -> str:
    if event.kind == "spike":
        text = f"Step {event.step}: gradient norm {_n(event.raw_norm)}, "
        return f"{text}{_n(event.ratio)} times its median{_clipped(event)}."
    if math.isfinite(event.raw_norm):
        norm = f"gradient norm {_n(event.raw_norm)}"
        return f"Step {event.step}: loss {event.loss_before}, {norm}."
    return f"Step {event.step}: gradient norm {event.raw_norm}."


def _clipped(event: CliffEvent) -> str:
    changed = event.clipped_norm < event.raw_norm * (1 - 1e-5)
    return f", clipped to {_n(event.clipped_norm)}" if changed else ""


def _place(event: CliffEvent) -> str:
    if not (event.group and math.isfinite(event.raw_norm)):  # NaN has no largest part
        return ""
    layer = f"layer{event.layer}{REVERSE if event.reverse else ''}"
    part = event.group if event.layer is None else f"{layer}.{event.group}"
    return f"The largest part is of {part}."


def _through_time(event: CliffEvent) -> str:
    source, peak = event.source, peak_of(event.grad_norm_T)
    of = f" of {event.cell}" if event.cell else ""
    # Where a gradient goes round by what is fed back; or an event of before it was on record.
    if math.isnan(source) and 0 < peak < math.inf:
        return f"||dL/dh_t||{of} is largest at t={event.time_step}."
    if not 0 < source < math.inf:
        return ""
    text = f"||dL/dh_t||{of} is at most {_n(source)} as it enters and "
    text += f"{_growth(peak / source)} on its way back"
    text += f", to t={event.time_step}" if peak / source > _NONE else ""
    text += _reach(sum(event.grad_norm_T) / event.source_sum, "is in sum over t", "what enters")
    if not 0 < event.usual_source < math.inf:
        return f"{text}."
    usual = _growth(event.usual_peak / event.usual_source, "grew", "did")
    text += f"; at step {event.usual_step} it was {_n(event.usual_source)} and {usual}"
    text += _reach(event.usual_sum / event.usual_source_sum, "was in sum", "that")
    return f"{text}{_ORIGINS[event.origin]}."


def _growth(factor: float, grows: str = "grows", does: str = "does") -> str:
    return f"{grows} {_n(factor)}-fold" if factor > _NONE else f"{does} not grow"


def _reach(times: float, is_in_sum: str, that: str) -> str:
    # Of an event of before the sums were kept it is not known.
    return f", and {is_in_sum} {_n(times)} times {that}" if math.isfinite(times) else ""


_ORIGINS: dict[Origin | None, str] = {
    None: "",
    "time": ": the cliff is one of the recurrence",
    "outputs": ": the cliff is one of the error at the outputs",
    "both": ": error and recurrence make the cliff together",
}


def _loss(event: CliffEvent) -> str:
    loss, usual = event.loss_before, event.loss_median
    if not (math.isfinite(loss) and 0 < usual < math.inf):
        return ""
    return f"The loss is {_n(loss)}, {_n(loss / usual)} times its median."


def _why(event: CliffEvent) -> str:
    if event.cause is None:
        return ""
    found, tried = median(_sizes(event.control_norms)), len(event.control_norms)
    before = "step before" if tried == 1 else f"{tried} steps before"
    norm = _n(found) if math.isfinite(found) else "no finite loss and gradient"
    said = f"The batches of the {before} have {norm} with the same weights"
    return f"{said}: {_CAUSES[event.cause]}."


_CAUSES: dict[Cause, str] = {
    "batch": "the cause is this batch",
    "weights": "the cause is these weights, whatever the batch",
    "both": "batch and weights have a share each",
}


def _third(share: float) -> int:
    return 0 if share < 1 - _MOST else 2 if share > _MOST else 1


def _share(value: float, low: float, high: float) -> float:
    if not value > 0:
        return 0.0
    if not math.isfinite(value):
        return 1.0
    return math.log(value / low) / math.log(high / low)


def _sizes(norms: Sequence[float]) -> list[float]:
    return list(map(size_of, norms))


def _n(value: float) -> str:
    return f"{value:.3g}"
