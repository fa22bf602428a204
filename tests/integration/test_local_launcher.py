"""The launcher under a Hydra program that knows nothing of rnnexp."""

import signal
from pathlib import Path

import pytest

from hydra_plugins.rnnexp_local_launcher._core import slots_of
from rnnexp.app.jobs.folder import Frozen
from rnnexp.app.sweep import worker

PROGRAM = """
import os, signal
import hydra
from omegaconf import DictConfig

@hydra.main(version_base="1.3", config_path=None)
def main(config: DictConfig) -> int:
    place = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    print("x", config.x, "gpu", place, "threads", os.environ["OMP_NUM_THREADS"])
    if config.x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if config.x == 3:
        raise SystemExit(0)
    if config.x == 4:
        raise ValueError("four is too many")
    return config.x

main()
"""


def test_one_job_that_dies_takes_no_other_along(python, workdir: Path) -> None:
    (workdir / "program.py").write_text(PROGRAM)
    words = ["-m", "hydra/launcher=local", "+x=1,2,3,4,5", "hydra.sweep.dir=out"]
    words += ["hydra.launcher.jobs=2", "hydra.launcher.gpus=[6,7]", "hydra.launcher.threads=3"]
    done = python("program.py", *words, cwd=workdir)
    assert done.code == 1
    logs = {n: (workdir / "out" / str(n) / f"log_{n}.txt").read_text() for n in range(5)}
    assert all(f"x {n + 1} gpu" in log and "threads 3" in log for n, log in logs.items())
    assert {log.split("gpu ")[1][0] for log in logs.values()} == {"6", "7"}
    assert "+x=2: killed by SIGKILL" in done.err
    assert "+x=3: exit code 1" in done.err
    assert "four is too many" in logs[3]
    assert "[5/5]" in done.err


def test_places_for_jobs() -> None:
    options = {"threads": 2, "jobs": None, "jobs_per_gpu": 2}
    on_gpus = slots_of(options, ["0", "1"])
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in on_gpus] == ["0", "1", "0", "1"]
    assert len(slots_of({**options, "jobs": 3}, ["0", "1"])) == 3
    on_cpu = slots_of({**options, "jobs": 3}, [])
    assert on_cpu[0]["OMP_NUM_THREADS"] == "2"
    assert len(on_cpu) == 3


UNHEARD = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
"""As `trap '' CHLD` in a shell, and some supervisors: a program that is started inherits it."""


def test_ends_are_known_where_the_caller_ignores_them(python, workdir: Path) -> None:
    (workdir / "program.py").write_text(PROGRAM)
    words = ["-m", "hydra/launcher=local", "+x=1,2,4", "hydra.sweep.dir=out"]
    begin = UNHEARD + "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    done = python("-c", begin, "program.py", *words, cwd=workdir)
    assert "+x=1: exit code 0" in done.err
    assert "+x=2: killed by SIGKILL" in done.err
    assert "+x=4: exit code 1" in done.err


def test_every_command_hears_of_the_ends_of_what_it_starts(python, workdir: Path) -> None:
    # git, the compiler, the members of a run: `subprocess` would take each end for a good one.
    begin = f"{UNHEARD}from rnnexp.__main__ import main; sys.argv[1:] = ['--version']\n"
    begin += "try: main()\nfinally: print(signal.getsignal(signal.SIGCHLD).name)"
    assert python("-c", begin, cwd=workdir).out.splitlines()[1:] == ["SIG_DFL"]


def test_a_job_in_a_process_of_somebody_else_does(
    monkeypatch: pytest.MonkeyPatch, registry, workdir: Path
) -> None:
    chosen = {"cell": {"name": "elman"}, "task": {"name": "adding"}, "callbacks": {}}
    Frozen({"plugin_dirs": [], **chosen}, {}, "sqlite:///x.db", None, 1).write(workdir)
    monkeypatch.setattr(worker, "run_folder", lambda *_, **__: 0)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert worker.main(str(workdir)) == 0
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGCHLD, before)
