"""Every so many steps, the flow of the gradient through a whole sequence goes on record."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rnnexp.monitors.flow import half_life, vanishing_ratio
from rnnexp.monitors.groups import is_reverse, suffix_of
from rnnexp.monitors.passes import Flow, Norms

NOTHING_ARRIVES = -45.0
"""Decades below which float32 has no numbers: what is logged where nothing arrives at all."""
Profile = Callable[[Norms, int], None]
"""Takes the norms of dL/dh_t over t by cell, and the step they are of."""


class FlowRecord:
    """Joins what the windows of a sequence show of dL/dh_t, each at a step of its own.

    Under truncated BPTT a record begins with a sequence's first window and is complete with its
    last: one window alone would tell of its own place only. The figures of it are those of the
    window with the largest norm, for no gradient crosses from one to the next.

    Args:
        every: steps between two records; None for none.
        write: takes the norms, NaN at steps that no gradient was computed of.
    """

    def __init__(self, every: int | None, write: Profile) -> None:
        self._every, self._write = every, write
        self._next = 0
        self._parts: dict[int, Flow] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a record has begun and is not complete."""
        return self._parts is not None

    def wants(self, steps_done: int, before: int) -> bool:
        """Tell whether the next batch belongs to a record.

        Args:
            steps_done: by the optimizer.
            before: steps of the sequence before the batch's.
        """
        if self._every is not None and before == 0 and steps_done >= self._next:
            self._next = (steps_done // self._every + 1) * self._every
            self._parts = {}
        return self.is_open

    def add(self, flows: Sequence[Flow], step: int) -> dict[str, float]:
        """Take what a step has shown, and record the sequence where it is complete.

        Args:
            flows: of the step; none where its backend shows none.
            step: the optimizer step.

        Returns:
            ``flow/vanishing_log10`` and ``flow/half_life`` of a sequence that is.
        """
        parts = self._parts
        if parts is None:
            return {}
        for flow in flows:
            parts.setdefault(flow.begin, flow)
        if flows and all(flow.after for flow in parts.values()):
            return {}
        self._parts = None
        if not parts:
            return {}
        self._write(_whole(list(parts.values())), step)
        return _figures(max(parts.values(), key=lambda flow: flow.peak).norms)

    def state_dict(self) -> dict[str, Any]:
        """Keep what has been joined so far, over a resume."""
        parts = self._parts
        found = None if parts is None else [asdict(flow) for flow in parts.values()]
        return {"next": self._next, "parts": found}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self._next, parts = int(state_dict["next"]), state_dict["parts"]
        flows = None if parts is None else [Flow(**part) for part in parts]
        self._parts = None if flows is None else {flow.begin: flow for flow in flows}


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
            figures[f"flow/vanishing_log10{suffix}"] = max(ratio, NOTHING_ARRIVES)
        if math.isfinite(life):
            figures[f"flow/half_life{suffix}"] = life
    return figures
