"""Cliffs where steps take turns through the windows of a sequence. Imports no torch."""

from typing import Any

from rnnexp.monitors.cliffs import Cliff, CliffDetector, CliffOptions, Course


class WindowedDetector:
    """Tell cliffs by the usual norm of each place in the sequence.

    Under truncated BPTT the steps take turns through the windows of a sequence, whose gradients
    differ by decades where some windows have easy targets: of one median for all, each turn to a
    hard window would be a cliff. So each place has a `CliffDetector` of its own. Steps in a row
    are one cliff all the same, told where it begins, whatever windows they go through.

    Args:
        options: how far out of the usual a norm must lie.
    """

    def __init__(self, options: CliffOptions | None = None) -> None:
        self.options = options or CliffOptions()
        self._at: dict[int, CliffDetector] = {}
        self._course: Course = "calm"

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
        here = detector.course
        found = detector.observe(step, raw_norm)
        before, self._course = self._course, detector.course
        goes_on = found is not None and here != found.kind and before == found.kind
        return None if goes_on else found

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered, as plain lists and numbers."""
        places = {str(place): detector.state_dict() for place, detector in self._at.items()}
        return {"course": self._course, "places": places}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._course = state["course"]
        for place, kept in state["places"].items():
            self.at(int(place)).load_state_dict(kept)
