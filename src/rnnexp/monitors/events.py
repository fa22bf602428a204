"""What is kept of a cliff: one line of ``cliffs.jsonl`` in the run's folder. Imports no torch."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rnnexp.errors import ConfigError
from rnnexp.files import CLIFFS
from rnnexp.tracking.journal import append_line, read_all

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""JSON has no such numbers: they are written as words, so that any reader can take the file."""
_TEXTS = ("kind", "group", "cell", "cause", "origin")
Cause = Literal["batch", "weights", "both"]
Origin = Literal["time", "outputs", "both"]


@dataclass(frozen=True, kw_only=True)
class CliffEvent:
    """All that is known of a cliff.

    Args:
        step: the optimizer step, from 1.
        kind: ``spike``, or ``nonfinite`` where the norm, or the loss, is NaN or infinite.
        loss_before: loss of the batch whose gradient it is.
        loss_after: loss of the batch after it, with the weights that the step left; None where
            there was none.
        raw_norm: global norm before clipping.
        clipped_norm: global norm after clipping; 0 where the gradient was dropped, NaN where the
            run ended before it.
        median: running median of the raw norm; NaN before the warm-up is over.
        ratio: raw norm over that median.
        group: the parameter group with the largest norm, such as ``recurrent``.
        layer: its layer, from 0; None for the readout.
        time_step: the t, from 1 as in x_1..x_T, at which the norm of dL/dh_t is largest; None
            without a trace.
        grad_norm_T: norm of dL/dh_t over the steps that were unrolled, in the order of the
            sequence, in units of the loss; empty without a trace.
        lr: learning rate of the step.
        batch_seed: the seed that the batch can be made from again; of several that made up the
            step, that with the largest norm of dL/dh_t, without a trace the last.
        reverse: whether that group is of a cell that reads the sequence from its end.
        begin: steps of the sequence before the first of ``grad_norm_T``, under truncated BPTT.
        cell: whose norms these are, such as ``layer0``.
        control_norms: raw norms that the batches of the steps before have with the weights of this
            one, the nearest first; empty where none could be compared.
        loss_median: running median of the loss; NaN before there is one.
        usual_step: that of the last record of the flow outside of cliffs, with which
            ``grad_norm_T`` is compared; None without one of this place in the sequence.
        usual_source: the ``source`` of that record.
        usual_peak: its largest ||dL/dh_t||.
        usual_source_sum: its ``source_sum``.
        usual_sum: its sum over t of ||dL/dh_t||; NaN in records of before it was kept.
        cause: whether another batch has such a gradient with the same weights; None if not known.
        origin: whether the gradient has grown more than usual on its way back through time, or
            what enters is larger than usual; None if not known.
        source: the largest norm of what enters the cell at a step, from the outputs or from the
            layer above; NaN where it is not known.
        source_sum: the sum of these norms over t; NaN likewise, and in records of before it was
            kept.
    """

    step: int
    kind: Literal["spike", "nonfinite"]
    loss_before: float
    loss_after: float | None
    raw_norm: float
    clipped_norm: float
    median: float
    ratio: float
    group: str
    layer: int | None
    time_step: int | None
    grad_norm_T: tuple[float, ...]
    lr: float
    batch_seed: int
    reverse: bool = False
    begin: int = 0
    cell: str = ""
    control_norms: tuple[float, ...] = ()
    loss_median: float = math.nan
    usual_step: int | None = None
    usual_source: float = math.nan
    usual_peak: float = math.nan
    usual_source_sum: float = math.nan
    usual_sum: float = math.nan
    cause: Cause | None = None
    origin: Origin | None = None
    source: float = math.nan
    source_sum: float = math.nan

    def to_json(self) -> str:
        """Write the event as one line of strict JSON."""
        values = {key: _to_word(value) for key, value in asdict(self).items()}
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "CliffEvent":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: it is no such line.
        """
        try:
            return cls.from_record(json.loads(text))
        except ValueError as error:
            raise ConfigError(f"Not a cliff event: {text[:80]!r} ({error}).") from error

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "CliffEvent":
        """Read the JSON object that `to_json` wrote.

        Raises:
            ConfigError: it is no such object.
        """
        try:
            return cls(**{key: _to_number(key, value) for key, value in record.items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"Not a cliff event: {str(record)[:80]!r} ({error}).") from error


def append_event(folder: Path, event: CliffEvent) -> Path:
    """Append an event to ``cliffs.jsonl`` in a run's folder.

    Returns:
        The file.
    """
    file = folder / CLIFFS
    append_line(file, event.to_json())
    return file


def load_events(folder: Path) -> list[CliffEvent]:
    """Load the events of a run, in order; none where it had no cliff."""
    return [CliffEvent.from_record(record) for record in read_all(folder / CLIFFS)]


def _to_word(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_to_word(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _to_number(key: str, value: Any) -> Any:
    if isinstance(value, list):
        items = cast("list[Any]", value)  # of a long sequence many, and seldom one is a word
        return tuple(_to_number(key, i) for i in items) if str in map(type, items) else tuple(items)
    if isinstance(value, str) and key not in _TEXTS:
        return _WORDS[value] if value in _WORDS else float(value)
    return value
