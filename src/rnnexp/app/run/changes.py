"""What has changed since a checkpoint was written: versions, plugins, files, devices, lengths,
and what of a network is not in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnexp.app.config.build import Plan, build_network
from rnnexp.app.config.pretrained import begins_anew, pretrained_by
from rnnexp.app.run.resume import Origin
from rnnexp.app.run.threads import THREADS_TAG
from rnnexp.files import JOURNAL
from rnnexp.tracking import head_of
from rnnexp.training.schedule_length import LENGTHS

_DEVICES = "trainer.devices"
_WINDOW = "unroll.window"
LENGTH_KEYS = tuple(f"scheduler.{name}" for name in LENGTHS)
"""Those of a schedule that a run may go on under other values of."""
_MATTER = ("version.", "rnnexp.source.", THREADS_TAG, _DEVICES, _WINDOW, *LENGTH_KEYS)
"""Tags and parameters of a record that a run's figures depend on, though not by their meaning."""


def changes_since(origin: Origin | None, now: Mapping[str, str]) -> list[str]:
    """Compare the record of the run that wrote a checkpoint with the present.

    Args:
        origin: what a run goes on from.
        now: the tags and the flattened config that its record gets.

    Returns:
        What differs, in words; bit for bit the same figures are not to be expected then.
    """
    folder = _folder_of(origin)
    if folder is None:
        return []
    run = head_of(folder)
    then = {**run.params, **run.tags}
    keys = [key for key in sorted(now) if key.startswith(_MATTER) and key in then]
    return [_words(key, then[key], now[key]) for key in keys if then[key] != now[key]]


def begun_anew(plans: Sequence[Plan]) -> list[str]:
    """Say what of networks does not begin with the weights of the checkpoint that it is to have.

    Args:
        plans: of the runs.
    """
    pretrained = ((plan, pretrained_by(plan.values)) for plan in plans)
    lines = (begins_anew(build_network(plan), file) for plan, file in pretrained if file)
    return [line for line in dict.fromkeys(lines) if line]


def _folder_of(origin: Origin | None) -> Path | None:
    if origin is None or origin.checkpoint is None:
        return None
    folder = origin.folder or origin.checkpoint.resolve().parent.parent
    return folder if (folder / JOURNAL).is_file() else None


def _words(key: str, then: str, now: str) -> str:
    if key == _DEVICES:
        return (
            f"{key} is {now}, and was {then} when the checkpoint was written: sums are rounded in "
            "another order, and what each process draws for itself, such as dropout, is drawn anew."
        )
    if key == _WINDOW:
        return (
            f"{key} is {now}, and was {then} when the checkpoint was written: it goes on with the "
            "next whole sequence."
        )
    if key in LENGTH_KEYS:
        return (
            f"{key} is {now}, and was {then} when the checkpoint was written: the learning rate of "
            f"each step from here on is that of a schedule over {now} steps."
        )
    kind = key.removeprefix("rnnexp.source.")
    if kind != key:
        plugin = kind in ("cell", "task") or kind.startswith("callback.")
        what = f"The source of the {kind}" if plugin else f"What the file of {kind} holds"
        return f"{what} has changed since the checkpoint."
    name = key.removeprefix("version.").removeprefix("rnnexp.")
    return f"{name} is {now}, and was {then} when the checkpoint was written."
