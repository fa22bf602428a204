"""What a run that is made again begins with, and whether a step of it is the one on record."""

import math
from collections.abc import Iterator
from pathlib import Path

from rnnexp.errors import ConfigError
from rnnexp.tracking import RunRecord, head_of, is_outside_identity, provenance
from rnnexp.training.checkpoints import steps_done

_GROWN = 1e-2
"""Another machine rounds otherwise, which has grown over the steps since the checkpoint."""
_SMALL = 1e-4
"""Where the config has changed, another step may look much the same; a CPU repeats every bit."""
_HALF = 3e-2
"""A number of 16 bits is known to a per cent; the backend of a step made again may be another."""
_HUGE, _TINY = 1e19, 1e-19
"""Norms beyond them are infinite, and zero, in older records: their squares were of float32."""
_NO_PART = ("resume", "trainer.max_steps", "trainer.max_epochs", "trainer.val_every")
"""Keys that change no step, only how many there are."""


def begun_from(run: RunRecord) -> Path | None:
    """Name the checkpoint that a run has its first weights from; None for its seed."""
    file = run.parts[0].tags.get("rnnexp.resumed_from", "None") if run.parts else "None"
    return None if file == "None" else Path(file)


def first_weights(folder: Path) -> Path | None:
    """Find the checkpoint that a run began with, to begin with it again; None for its seed.

    Raises:
        ConfigError: it is not there any more, or it is damaged.
    """
    begun = begun_from(head_of(folder))
    if begun is not None and steps_done(begun) is None:
        raise ConfigError(f"The run began with {begun}, which is gone or damaged. Put it back.")
    return begun


def check_remade(run: RunRecord, step: int, figures: dict[str, float]) -> None:
    """Refuse a step whose figures are not those on record: it is another run's.

    Args:
        run: the record.
        step: optimizer step, from 1.
        figures: of the step made again, by their names in the record.

    Raises:
        ConfigError: names the first that differs by more than rounding, and why it may.
    """
    changed = _changed(run)
    tolerance = _tolerance(run, bool(changed))
    for name, made in figures.items():
        known = dict(run.metrics.get(name, ())).get(step, made)
        if not _agree(known, made, tolerance):
            raise ConfigError(
                f"Step {step} cannot be made again: its {name} comes out as {made:.6g}, and "
                f"{known:.6g} is on record. {_why(run, changed)}"
            )


def _tolerance(run: RunRecord, changed: bool) -> float:
    if "16" in run.params.get("trainer.precision", ""):
        return _HALF
    repeats = run.params.get("trainer.accelerator", "cpu") == "cpu"
    return _SMALL if changed and repeats else _GROWN


def _agree(known: float, made: float, tolerance: float) -> bool:
    if math.isfinite(known) and math.isfinite(made):
        return math.isclose(known, made, rel_tol=tolerance, abs_tol=_TINY)
    return not (math.isfinite(known) or abs(made) < _HUGE)


def _why(run: RunRecord, changed: list[str]) -> str:
    if changed:
        return (
            f"The run was resumed with another {', '.join(changed)}, and only its latest config is "
            "used here. Steps that come after a checkpoint of that config can be made again."
        )
    begun = begun_from(run)
    if begun is not None:
        return f"The run began with {begun}, which may hold other weights now."
    others = "; ".join(_other_versions(run))
    return (
        "A run repeats to the last bit on a CPU of the same kind only, with the same versions and "
        f"threads.{f' Not the same: {others}.' if others else ''}"
    )


def _changed(run: RunRecord) -> list[str]:
    keys = sorted({key for part in run.parts for key in part.params})
    return [
        key
        for key in keys
        if not (key in _NO_PART or is_outside_identity(key))
        and len({part.params.get(key) for part in run.parts}) > 1
    ]


def _other_versions(run: RunRecord) -> Iterator[str]:
    now = provenance(Path.cwd())
    for tag, then in sorted(run.tags.items()):
        known = tag in ("host", "git.commit") or tag.startswith("version.")
        if known and then != now.get(tag):
            yield f"{tag.removeprefix('version.')} {then} then, {now.get(tag)} now"
