"""How many CPU threads a run computes with: another number adds up in another order."""

from pathlib import Path

import torch

from rnnexp.app.config.build import Plan
from rnnexp.app.jobs.folder import Frozen, is_frozen
from rnnexp.tracking import head_of

THREADS_TAG = "rnnexp.threads"
"""Tag of a record: the threads of each of its processes."""


def threads_of(plan: Plan, folder: Path) -> int:
    """Say how many threads each process of a run takes.

    Args:
        plan: the run's.
        folder: the run's; one of a sweep has its own threads, any other has the machine to itself.
    """
    if plan.values["threads"] is not None:
        return int(plan.values["threads"])
    devices = 1 if is_frozen(folder) else int(plan.values["trainer"]["devices"])
    return max(1, torch.get_num_threads() // devices)


def take_threads_of(earlier: Path, plan: Plan) -> None:
    """Have a run that makes an earlier one again, or goes on with it, compute as that did.

    Args:
        earlier: that one's folder.
        plan: the run's; a number of threads in it is set later, and wins.
    """
    number = head_of(earlier).tags.get(THREADS_TAG)
    if number is None and is_frozen(earlier):  # its record is older than the tag
        number = Frozen.read(earlier).threads
    if number is not None:
        torch.set_num_threads(int(number) * int(plan.values["trainer"]["devices"]))
