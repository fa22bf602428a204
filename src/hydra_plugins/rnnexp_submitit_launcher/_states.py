"""What Slurm says of the jobs that were submitted; imported where submitit is there."""

import subprocess
import time
from getpass import getuser

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from hydra_plugins.rnnexp_submitit_launcher._ledger import FINAL, GONE

DELAY_SECONDS = 60
_COLUMNS = "JobID|State|NodeList"


class Accounts(SlurmInfoWatcher):
    """Ask Slurm's accounts, at most once a minute for all jobs."""

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Tell whether a job is over; submitit's list lacks what starts, waits or is suspended."""
        return FINAL.match(self.get_state(job_id, mode=mode)) is not None

    def hurry(self) -> None:
        """Look often for a while, since something has been asked of a job."""
        self._start_time = time.time()


class Queued(Accounts):
    """Ask the queue, where a cluster keeps no accounts: a job that it no longer lists is over."""

    def _make_command(self) -> list[str] | None:
        if self._registered <= self._finished:
            return None
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%N"]
        return [*command, f"--user={getuser()}"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Read the states, by the jobs' ids."""
        lines = string if isinstance(string, str) else string.decode()
        told = super().read_info(f"{_COLUMNS}\n{lines}")
        return {job: {"State": GONE} for job in self._info_dict if job not in told} | told


def watch_states() -> None:
    """Have submitit's jobs ask what this cluster answers."""
    SlurmJob.watcher = (Accounts if _keeps_accounts() else Queued)(delay_s=DELAY_SECONDS)


def _keeps_accounts() -> bool:
    words = ["sacct", "--noheader", "--allocations", "--format=JobID"]
    try:
        return subprocess.run(words, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
