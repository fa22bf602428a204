"""Cliffs where steps take turns through the windows of a sequence. Imports no torch."""

from typing import Any

from rnnexp.monitors.cliffs import Cliff, CliffDetector, CliffOptions, Course


class WindowedDetector:
    """Tell cliffs by the usual norm of each place in the sequence.

    Under truncated BPTT the steps take turns through the windows of a sequence, whose gradients
    differ by decades where some windows have easy targets: of one median for all, each turn to a
    hard window would be a cliff. So each place has a `CliffDetector` of its own. Steps in a row
    are one cliff all the same, told where it begins, whatever windows they go through; a norm is
    told too whose ratio to the usual norm of its place again exceeds the largest one told.

    Args:
        options: how far out of the usual a norm must lie.
    """

    def __init__(self, options: CliffOptions | None = None) -> None:
        self.options = options or CliffOptions()
        self._at: dict[int, CliffDetector] = {}
        self._course: Course = "calm"
        self._told = 0.0

    @property
    def course(self) -> Course:
        """What the latest norm was part of."""
        return self._course

    def at(self, place: int) -> CliffDetector:
        """Give the detector of a place."""
        return self._at.setdefault(place, CliffDetector(self.options))

    def observe(self, step: int, raw_norm: float, place: int = 0) -> Cliff | None:
        """Take the norm of a step, and say whether a cliff begins there.

        Args:
            step: the optimizer step.
            raw_norm: the norm of the whole gradient, before clipping.
            place: steps of the sequence before the step's window.
        """
        detector = self.at(place)
        here, before = detector.course, self._course
        found = detector.observe(step, raw_norm)
        self._course = detector.course
        if "spike" not in (here, before):
            self._told = 0.0
        return None if found is None else self._tell(found, before, detector)

    def _tell(self, found: Cliff, before: Course, detector: CliffDetector) -> Cliff | None:
        goes_on = before == found.kind
        if found.kind == "nonfinite":
            return None if goes_on else found
        if goes_on and found.ratio <= self.options.ratio * self._told:
            detector.join(self._told)
            return None
        self._told = found.ratio
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered, as plain lists and numbers."""
        places = {str(place): detector.state_dict() for place, detector in self._at.items()}
        return {"course": self._course, "told": self._told, "places": places}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._course, self._told = state["course"], float(state.get("told", 0.0))  # older: none
        for place, kept in state["places"].items():
            self.at(int(place)).load_state_dict(kept)
