"""What becomes of a job that was asked to end, as Slurm says."""

import os
import re
import subprocess
from enum import Enum, auto

ANSWER_SECONDS = 20.0


class Fate(Enum):
    """What Slurm does with a job that was asked to end."""

    ENDS = auto()
    """It is cancelled; or Slurm does not say."""
    LOST = auto()
    """Its time is over, of grace or of its limit: without being queued again it is lost."""
    QUEUED_AGAIN = auto()
    """Slurm itself begins it anew once its processes have ended."""


def fate_of_this_job() -> Fate:
    """Ask Slurm about the job that this process belongs to.

    A signal does not tell: a preemption sends the same SIGTERM as ``scancel``.
    """
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
        return Fate.ENDS  # the id of an allocation, in which the command runs, is no job's
    from submitit.slurm.slurm import SlurmJobEnvironment  # the job has loaded it

    # ARRAY_TASK in an array: one of its tasks has the array's own id, by which all are shown.
    job_id = SlurmJobEnvironment().job_id
    return fate_in(_shown(job_id), begun_again=_count("SLURM_RESTART_COUNT"))


def fate_in(shown: str, begun_again: int) -> Fate:
    """Read it from what ``scontrol show job`` prints.

    Args:
        shown: that text.
        begun_again: how often the job had been begun anew when this process started.
    """
    if re.search(r"\bJobState=RUNNING\b|\bReason=TimeLimit\b", shown):
        return Fate.LOST
    restarts = re.search(r"\bRestarts=(\d+)", shown)
    counted = restarts is not None and int(restarts[1]) > begun_again
    return Fate.QUEUED_AGAIN if counted else Fate.ENDS


def _shown(job_id: str) -> str:
    words = ["scontrol", "--oneliner", "show", "job", job_id]
    try:
        return subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _count(name: str) -> int:
    return int(os.environ.get(name) or 0)
