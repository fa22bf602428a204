"""Whether the disk has room for what a command will write."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from rnnexp.app.config.build import Plan, build_network
from rnnexp.errors import ConfigError

_CHECKPOINTS, _COPIES = 6, 4
"""Last, the one before, that before a cliff, best, one that is being written, the artifact; each of
weights, gradients and two moments of the optimizer."""
_STEP_BYTES, _STORED_BYTES = 500, 2500
"""Of a step: a line of the journal and of `norms.csv`; eight figures in a store that is here."""
_NORM_BYTES = 40
"""Of ||dL/dh_t|| at one t: 16 in the journal, and twice 12 in `flow.csv`."""
_RUN_BYTES = 1 << 20
"""Config, pictures, logs."""


def check_disk(plans: Sequence[Plan], folder: Path) -> None:
    """Refuse runs that would fill the disk.

    Args:
        plans: the runs of the command that are left to do.
        folder: where they write.

    Raises:
        ConfigError: says how much is needed and how much is free.
    """
    weights: dict[str, int] = {}
    needed = sum(bytes_of(plan, weights) for plan in plans)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"{len(plans)} runs may write {_megabytes(needed)}, and {folder.resolve()} has "
            f"{_megabytes(free)} free. Make room, ask for fewer runs, or go to another folder."
        )


def bytes_of(plan: Plan, weights: dict[str, int]) -> int:
    """Estimate from above what a run writes: checkpoints of its weights, a record of its steps.

    Args:
        plan: of the run.
        weights: how many weights networks have that were made before, by what they were made from.
    """
    values, steps = plan.values, int(plan.values["trainer"]["max_steps"])
    made_from = repr([values["cell"], values["model"], values["task"], values["unroll"]])
    if made_from not in weights:
        weights[made_from] = sum(p.numel() for p in build_network(plan).parameters())
    size = 8 if values["trainer"]["precision"].startswith("64") else 4
    kept = weights[made_from] * size * _CHECKPOINTS * _COPIES
    return kept + int(steps * _bytes_a_step(plan)) + _RUN_BYTES


def _bytes_a_step(plan: Plan) -> float:
    values = plan.values
    here = _STORED_BYTES if values["tracking"]["uri"].startswith("sqlite:") else 0
    cells = values["model"]["layers"] * (2 if values["model"]["bidirectional"] else 1)
    every = values["monitor"]["flow_every"]
    norms = plan.task.length * cells / every if every else 0
    return _STEP_BYTES + here + norms * _NORM_BYTES


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
