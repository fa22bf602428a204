"""A real Slurm of one machine with two cores, without accounts, started for a test."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path

from ..waiting import comes_true

PLACES = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
MISSING = [tool for tool in NEEDED if shutil.which(tool, path=PLACES) is None]

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=20
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=low Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=high Nodes={host} PriorityTier=10 PreemptMode=OFF
"""


class Slurm:
    """Told by the commands that its users have."""

    def tell(self, *words: str) -> str:
        """Give a command, and return what it says."""
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout

    def begin_now(self) -> None:
        """Let jobs that are queued again begin; Slurm keeps them for two minutes."""
        for job in self.tell("squeue", "-h", "-r", "-o", "%i", "-t", "PENDING").split():
            with suppress(subprocess.CalledProcessError):  # it has begun meanwhile
                self.tell("scontrol", "update", f"JobId={job}", "StartTime=now")


@contextmanager
def running_slurm(folder: Path, grace: int) -> Iterator[Slurm]:
    """Run one; `SLURM_CONF` is to name ``slurm.conf`` in the folder.

    Args:
        folder: takes all that it writes.
        grace: seconds that a preempted job has before it is ended and queued again; with 0 it is
            queued again at once, and has as long as Slurm's KillWait.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    host = socket.gethostname().partition(".")[0]
    text = CONFIG.format(host=host, folder=folder, grace=grace, ports=_two_ports(), user=getuser())
    (folder / "slurm.conf").write_text(text)
    daemons = [
        _daemon("munged", *_munge(folder)),
        _daemon("slurmctld", "-D"),
        _daemon("slurmd", "-D"),
    ]
    slurm = Slurm()
    try:
        assert comes_true(lambda: _is_up(slurm), 30), (folder / "slurmctld.log").read_text()
        yield slurm
    finally:
        with suppress(subprocess.SubprocessError):
            slurm.tell("scancel", f"--user={getuser()}")
            time.sleep(1.0)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=30)


def _munge(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    files = {"key-file": key, "socket": folder / "munge.socket"}
    files |= {f"{name}-file": folder / f"munged.{name}" for name in ("log", "pid", "seed")}
    return ["--foreground", "--force", *(f"--{name}={file}" for name, file in files.items())]


def _daemon(name: str, *words: str) -> subprocess.Popen[bytes]:
    tool = shutil.which(name, path=PLACES)
    assert tool is not None
    process = subprocess.Popen([tool, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    assert process.poll() is None, f"{name} has ended with {process.poll()}"
    return process


def _is_up(slurm: Slurm) -> bool:
    with suppress(subprocess.CalledProcessError):
        return "idle" in slurm.tell("sinfo", "-h", "-o", "%T")
    return False


def _two_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]
