"""Jobs of two processes each under an acted Slurm: one array, warned, queued again."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ..waiting import comes_true
from . import queued

WORDS = [*queued.WORDS, "trainer.max_steps=400", "trainer.devices=2", "trainer.strategy=ddp"]

SBATCH = f"""#!{sys.executable}
import os, re, shutil, signal, subprocess, sys
from pathlib import Path
signal.pthread_sigmask(signal.SIG_SETMASK, [])  # jobs do not inherit from who submits them
here = Path(__file__).parent
shutil.copy(sys.argv[1], here / "script.sh")
last = int(re.search(r"--array=0-(\\d+)", (here / "script.sh").read_text())[1])
again = 'while rm -f "$AGAIN"; bash "$SCRIPT"; [ -e "$AGAIN" ]; do :; done; '
again += 'echo COMPLETED >"$STATE"'
for i in range(last + 1):
    state = here / f"state_17_{{i}}"
    state.write_text("RUNNING")
    own = dict(JOB_ID=f"9{{i}}", ARRAY_JOB_ID="17", ARRAY_TASK_ID=str(i), NTASKS="1", PROCID="0")
    own |= dict(LOCALID="0", NODEID="0", JOB_NUM_NODES="1", JOB_NODELIST="here")
    environment = os.environ | {{f"SLURM_{{key}}": value for key, value in own.items()}}
    environment |= dict(AGAIN=str(here / f"again_17_{{i}}"), SCRIPT=str(here / "script.sh"))
    environment |= dict(STATE=str(state))
    with (here / "out.txt").open("a") as out:
        streams = dict(stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        job = ["bash", "-c", again]
        process = subprocess.Popen(job, env=environment, start_new_session=True, **streams)
    (here / f"leader_17_{{i}}").write_text(str(process.pid))
print("Submitted batch job 17")
"""
SRUN = """#!/bin/bash
while [ "${1#--}" != "$1" ]; do
    case $1 in --output | --error) shift 2 ;; *) shift ;; esac
done
exec "$@"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
for file in $(dirname "$0")/state_*; do echo "${file##*/state_}|$(cat "$file")|here"; done
"""
SCONTROL = """#!/bin/bash
if [ "$1" = requeue ]; then touch "$(dirname "$0")/again_$2"; else exit 1; fi
echo "$@" >>"$(dirname "$0")/told.txt"
"""


@pytest.fixture
def slurm(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = workdir / "bin"
    folder.mkdir()
    scripts = {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scontrol": SCONTROL}
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    yield folder
    for leader in folder.glob("leader_*"):  # what a failed test has left
        with suppress(ProcessLookupError):
            os.killpg(int(leader.read_text()), signal.SIGKILL)


def pythons_of(leader: int) -> list[int]:
    """List the processes of a job but for its shell, which Slurm does not warn."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            session = int((place / "stat").read_text().rpartition(")")[2].split()[3])
            python = b"python" in (place / "cmdline").read_bytes().partition(b"\0")[0]
        except OSError:
            continue
        found += [int(place.name)] if session == leader and python else []
    return found


@pytest.mark.slow
def test_jobs_that_are_warned_are_queued_again_and_go_on(
    rnnexp, start_python, slurm: Path, workdir: Path, store_uri: str
) -> None:
    queue = ["hydra/launcher=submitit_slurm", "hydra.launcher.poll_seconds=0.5"]
    words = ["-m", "rnnexp", "train", "-m", *queue, *WORDS, "sweep.name=mine"]
    driver = start_python(*words, cwd=workdir)
    sweep = workdir / "outputs" / "sweeps" / "mine"
    assert comes_true(lambda: queued.both_train(sweep), 90)
    leaders = [int(file.read_text()) for file in slurm.glob("leader_*")]
    warned = [pid for leader in leaders for pid in pythons_of(leader)]
    assert len(warned) == 4, "two processes of each job"
    for pid in warned:
        os.kill(pid, signal.SIGUSR2)
    assert driver.wait(timeout=150) == 0, (workdir / "stderr.txt").read_text()
    told = sorted((slurm / "told.txt").read_text().splitlines())
    assert told == ["requeue 17_0", "requeue 17_1"]
    logs = [file.read_text() for file in sweep.glob("*/log.txt")]
    assert [log.count("step 1/400") for log in logs] == [1, 1], "none began anew"
    assert not any("srun" in log for log in logs), "no advice of Lightning's"
    control = rnnexp("train", "-m", *WORDS, "sweep.name=control", timeout=150)
    assert control.code == 0, control.err
    queued.check_same_as_alone(sweep, sweep.parent / "control", 400)
