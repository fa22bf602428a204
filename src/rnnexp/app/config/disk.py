"""Whether the disk has room for what a command will write."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from rnnexp.app.config.build import Plan, build_cell
from rnnexp.errors import ConfigError

_CHECKPOINTS, _COPIES = 5, 4
"""Last, the one before, best, one that is being written, the artifact; each of weights, gradients
and two moments of the optimizer."""
_STEP_BYTES, _RUN_BYTES = 700, 1 << 20
"""A line of the journal and its points in the store; config, pictures, logs."""


def check_disk(plans: Sequence[Plan], folder: Path) -> None:
    """Refuse runs that would fill the disk.

    Args:
        plans: the runs of the command that are left to do.
        folder: where they write.

    Raises:
        ConfigError: says how much is needed and how much is free.
    """
    needed = sum(map(bytes_of, plans))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"{len(plans)} runs may write {_megabytes(needed)}, and {folder.resolve()} has "
            f"{_megabytes(free)} free. Make room, ask for fewer runs, or go to another folder."
        )


def bytes_of(plan: Plan) -> int:
    """Estimate from above what a run writes: checkpoints of its weights, a record of its steps."""
    values, task = plan.values, plan.task
    cell = build_cell(values, task.input_size + (task.output_size if plan.feedback else 0))
    directions = 2 if values["model"]["bidirectional"] else 1
    weights = sum(p.numel() for p in cell.parameters()) * values["model"]["layers"] * directions
    weights += cell.hidden_size * directions * (task.output_size + 1)
    steps = int(values["trainer"]["max_steps"])
    return 4 * weights * _CHECKPOINTS * _COPIES + steps * _STEP_BYTES + _RUN_BYTES


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
