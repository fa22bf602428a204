"""Every so many steps, the flow of the gradient through a whole sequence goes on record."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rnnexp.monitors.flow import half_life, vanishing_ratio
from rnnexp.monitors.groups import is_reverse, suffix_of
from rnnexp.monitors.passes import Flow, Norms, Pass, flow_of, flows_of

NOTHING_ARRIVES = -45.0
"""What is logged where nothing arrives at all: float32 has no numbers so many decades below 1."""
Profile = Callable[[Norms, int], None]
"""Takes the norms of dL/dh_t over t by cell, and the step they are of."""

Tell = Callable[[int, Sequence[Flow]], None]
"""Takes the step of a record, and its flows."""


def _nobody(step: int, flows: Sequence[Flow]) -> None:
    del step, flows


class FlowRecord:
    """Joins what the windows of a sequence show of dL/dh_t, each at a step of its own.

    Under truncated BPTT a record begins with a sequence's first window and is complete with the
    step of its last: one window alone would tell of its own place only. Where batches accumulate, a
    step may have windows of the sequence before the record's, and the first ones of the next:
    these are no part of it, a whole sequence more is. The figures of a record are those of the
    window with the largest norm, for no gradient crosses from one to the next.

    Args:
        every: steps between two records; None for none.
        write: takes the norms, NaN at steps that no gradient was computed of.
        tell: takes the flows, by place in the sequence.
    """

    def __init__(self, every: int | None, write: Profile, tell: Tell = _nobody) -> None:
        self._every, self._write, self._tell = every, write, tell
        self._next = 0
        self._parts: list[Flow] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a record has begun and is not complete."""
        return self._parts is not None

    def wants(self, steps_done: int, before: int) -> bool:
        """Tell whether the next batch belongs to a record, which may begin with it.

        Args:
            steps_done: by the optimizer.
            before: steps of the sequence before the batch's.
        """
        begins = before == 0 and steps_done >= self._next and not self.is_open
        if self._every is not None and begins:
            self._next = (steps_done // self._every + 1) * self._every
            self._parts = []
        elif before == 0 and self._parts and self._parts[-1].after:
            self._parts = []  # of a sequence that is given up, for a run goes on with other windows
        return self.is_open

    def drop(self) -> None:
        """Give up a record that has begun."""
        self._parts = None

    def note(self, each: Pass | Flow) -> None:
        """Take what a backward pass has shown, if it belongs to a record."""
        if self._parts is not None:
            self._parts.append(flow_of(each))

    def finish(self, step: int) -> dict[str, float]:
        """Record the sequence where the step that is done has completed it.

        Args:
            step: the optimizer step.

        Returns:
            ``flow/vanishing_log10`` and ``flow/half_life`` of a sequence that is complete, of what
            arrives of the gradient that enters last.
        """
        parts = self._parts or []
        ends = [i for i, part in enumerate(parts, 1) if not part.after]
        if parts and not ends:
            return {}
        self._parts = None
        flows = flows_of(parts[: max(ends, default=0)])
        if not flows:  # the backend shows none
            return {}
        self._tell(step, flows)
        self._write(_whole(flows), step)
        return _figures(max(flows, key=lambda flow: flow.peak).arriving)

    def state_dict(self) -> dict[str, Any]:
        """Keep what has been joined so far, over a resume."""
        parts = self._parts
        found = None if parts is None else [asdict(flow) for flow in parts]
        return {"next": self._next, "parts": found, "every": self._every}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it; what comes every so many steps now does so from here."""
        paced = state_dict.get("every", self._every) == self._every
        self._next, parts = int(state_dict["next"]) if paced else 0, state_dict["parts"]
        self._parts = None if parts is None else [Flow(**part) for part in parts]


def _whole(flows: Sequence[Flow]) -> Norms:
    whole: dict[str, list[float]] = {}
    for flow in sorted(flows, key=lambda flow: flow.begin):
        for cell, norms_T in flow.norms.items():
            known = whole.setdefault(cell, [])
            known += [math.nan] * (flow.begin - len(known))
            known += norms_T
    return whole


def _figures(norms: Norms) -> dict[str, float]:
    figures: dict[str, float] = {}
    for cell, norms_T in norms.items():
        suffix = suffix_of(cell, norms)
        own_T = norms_T[::-1] if is_reverse(cell) else norms_T  # its first step is the last one
        ratio, life = vanishing_ratio(own_T), half_life(own_T)
        if not math.isnan(ratio):
            decades = ratio if math.isfinite(ratio) else NOTHING_ARRIVES
            figures[f"flow/vanishing_log10{suffix}"] = decades
        if math.isfinite(life):
            figures[f"flow/half_life{suffix}"] = life
    return figures
