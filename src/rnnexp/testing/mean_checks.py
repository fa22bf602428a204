"""Whether figures of a batch are means over its rows, as seen from those of its parts.

A validation and a test take the mean over their batches of what each of them gives.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnexp.tasks import Batch
from rnnexp.testing.checks import BrokenError

Figures = Callable[[Tensor, Tensor], Mapping[str, Tensor]]
_SAME = 1e-4
"""A difference that is one of rounding, relative to the figure where that is above 1."""
_INSIDE = 1e-3
"""How far from the figures of two parts that of both must be, of their difference."""


@dataclass(frozen=True)
class Judged:
    """A batch and outputs for it.

    Args:
        batch: any.
        outputs: with as many rows.
        along: which axis of outputs and targets the rows are.
    """

    batch: Batch
    outputs: Tensor
    along: int

    def part(self, first: int, count: int) -> "Judged":
        """Take some of the rows."""
        inputs_TBI = self.batch.inputs_TBI.narrow(1, first, count)
        targets = self.batch.targets.narrow(self.along, first, count)
        outputs = self.outputs.narrow(self.along, first, count)
        return Judged(Batch(inputs_TBI, targets), outputs, self.along)

    def parts(self) -> "tuple[Judged, ...]":
        """Cut the first row off; there may be no other."""
        rest = self.outputs.shape[self.along] - 1
        return (self.part(0, 1), self.part(1, rest)) if rest else (self,)

    def twice(self) -> tuple[Tensor, Tensor]:
        """Make outputs and targets of all rows twice."""
        pairs = ([tensor] * 2 for tensor in (self.outputs, self.batch.targets))
        outputs, targets = (torch.cat(pair, self.along) for pair in pairs)
        return outputs, targets


def check_means(
    judged: Judged, figures_of: Figures, weight_of: Callable[[Batch], int], place: str
) -> str | None:
    """Refuse what is no kind of mean over rows: a sum, a count, the largest of all.

    Args:
        judged: the rows.
        figures_of: makes figures of outputs and targets.
        weight_of: counts what a mean of a batch is taken over.
        place: where the task is written.

    Returns:
        Words on those that are not the mean over what is counted, such as its root.

    Raises:
        BrokenError: names the figure.
    """
    whole = figures_of(judged.outputs, judged.batch.targets)
    double, parts = figures_of(*judged.twice()), judged.parts()
    found = [figures_of(part.outputs, part.batch.targets) for part in parts]
    weights = [weight_of(part.batch) for part in parts]
    inexact: list[str] = []
    for name, figure in whole.items():
        value, values = float(figure), [float(figures[name]) for figures in found]
        _check_double(name, value, float(double[name]), place)
        # What has nothing to judge may be NaN, or anything.
        pairs = [(v, n) for v, n in zip(values, weights, strict=True) if n and not math.isnan(v)]
        if pairs:
            _check_inside(name, value, [v for v, _ in pairs], place)
            if not _is_mean(value, pairs):
                inexact.append(name)
    if not inexact:
        return None
    return f"no mean over what weight_of counts, so it depends on batch_size: {', '.join(inexact)}"


def _check_double(name: str, whole: float, double: float, place: str) -> None:
    if abs(whole - double) > _rounding(whole):
        raise BrokenError(f"the {name} {whole:.6g} of twice the same rows", f"{double:.6g}", place)


def _check_inside(name: str, whole: float, parts: Sequence[float], place: str) -> None:
    low, high = min(parts), max(parts)
    margin = _INSIDE * (high - low) if high - low > 10 * _rounding(whole) else -_rounding(whole)
    if whole < low + margin or whole > high - margin:
        raise BrokenError(
            f"a mean over rows as {name}: between {low:.6g} and {high:.6g}, which it is in two "
            "parts of a batch",
            f"{whole:.6g} in both",
            f"A validation takes the mean over its batches. No sum, count or maximum: {place}.",
        )


def _is_mean(whole: float, pairs: Sequence[tuple[float, int]]) -> bool:
    mean = sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)
    return not abs(whole - mean) > _rounding(whole)


def _rounding(value: float) -> float:
    return _SAME * max(1.0, abs(value))
