"""Which jobs a sweep has in Slurm's queue, whichever of its commands has submitted them."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydra_plugins.rnnexp_local_launcher._processes import LauncherError

FOLDER, FILE = ".submitit", "queued.txt"
ANSWER_SECONDS = 20.0
PENDING = "PENDING"
GONE = "GONE"
FINAL = re.compile(
    "(COMPLETED|CANCELLED|FAILED|TIMEOUT|DEADLINE|OUT_OF_MEMORY|NODE_FAIL|BOOT_FAIL|REVOKED"
    rf"|{GONE})\b"
)
"""Behind it accounts say who has cancelled: "CANCELLED by 1000", or "CANCELLED+"."""


@dataclass(frozen=True)
class Told:
    """What the queue says of a job that is not over.

    Args:
        state: as Slurm calls it.
        reason: why it waits, if it does.
    """

    state: str
    reason: str


class Ledger:
    """The ids of the jobs that were submitted for a sweep; they outlive its command.

    Args:
        folder: the launcher's, in that of the sweep.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def note(self, jobs: Mapping[str, Path]) -> None:
        """Add jobs by their ids, each with its log, by which a command knows it again."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.writelines(f"{job_id} {log}\n" for job_id, log in jobs.items())

    def jobs(self) -> dict[str, Path]:
        """Read which jobs were submitted; a last line that was cut off is none."""
        if not self.file.is_file():
            return {}
        lines = self.file.read_text(encoding="utf-8").split("\n")[:-1]
        pairs = (line.partition(" ") for line in lines)
        return {job_id: Path(log) for job_id, _, log in pairs}

    def queued(self, jobs: Collection[str]) -> dict[str, Told]:
        """Ask the queue which of some jobs are not over.

        Args:
            jobs: their ids; of none nobody is asked.

        Raises:
            LauncherError: it does not answer.
        """
        if not jobs:
            return {}
        # By the script, too: another cluster that sees this folder has the same ids.
        own = f"{self.file.parent.resolve()}/"
        words = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
        lines = _run([*words, "--format=%i|%T|%r|%o"]).splitlines()
        parts = (line.split("|", 3) for line in lines if line.count("|") >= 3)
        found = {job_id: (Told(*told), script) for job_id, *told, script in parts}
        return {
            job_id: told
            for job_id, (told, script) in found.items()
            if job_id in jobs and script.startswith(own) and not FINAL.match(told.state)
        }


def cancel(job_ids: Collection[str]) -> None:
    """Cancel jobs, of which some may be over."""
    # Not --state=PENDING: Slurm 22.05 then cancels all of an array that has not begun.
    if job_ids:
        with suppress(LauncherError):
            _run(["scancel", *job_ids])


def waiting(sweep: Path) -> dict[str, int]:
    """Count the jobs of a sweep that wait in a queue, by the reason that Slurm gives.

    Args:
        sweep: its folder.
    """
    try:
        ledger = Ledger(sweep / FOLDER)
        told = ledger.queued(ledger.jobs()).values()
    except LauncherError:  # of interest only to who would submit
        return {}
    return dict(Counter(one.reason for one in told if one.state == PENDING))


def largest_array() -> int | None:
    """Ask Slurm how many jobs an array may have; None where it does not say."""
    try:
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _run(["scontrol", "show", "config"]), re.M)
    except LauncherError:
        return None
    return int(found[1]) if found else None


def _run(words: list[str]) -> str:
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherError(f"hydra/launcher=submitit_slurm: {words[0]}: {error}") from error
    if done.returncode:
        raise LauncherError(
            f"hydra/launcher=submitit_slurm: {words[0]} fails: "
            f"{done.stderr.strip() or done.returncode}"
        )
    return done.stdout
