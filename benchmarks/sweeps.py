"""Claim: a sweep of small jobs takes at most 0.7 of the time of the usual stack.

The same jobs (adding, T=50, B=32, LSTM H=64, validation every 100 steps), two at once with one
thread each, from the command line to the last record in a fresh sqlite store: by
``rnnexp train -m``; and by a plain script with Lightning and its MLFlowLogger at every step, under
joblib.Parallel(n_jobs=2), which is what Hydra's joblib launcher runs (it is not installed here).
Overhead of a job: its share of the whole, imports and the last record included, less the time of
training it without monitor, logger and checkpoints while another trains beside it: the median of
such, made before and after. Its process: the same for the median of what the launcher counts from
the start of a job to its end, testing, checkpoints and the last record included; once with all
cores taken, which the delivery to the store then shares, and once with one job at a time.
"""

import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from joblib import Parallel, delayed
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import MLFlowLogger

from benchmarks.machine import keep, table
from benchmarks.tracking import LogAll
from rnnexp.app.config.build import build_data, build_module
from rnnexp.app.config.compose import check_jobs, prepare

JOBS, STEPS, WORKERS = 24, 1000, 2
FEW = 5
"""Jobs of each worker where a few do: the first warms up."""
OPTIONS = ["task=adding", "task.length=50", "cell=lstm", "cell.hidden_size=64", "clip=norm"]
OPTIONS += [f"trainer.max_steps={STEPS}", "trainer.val_every=100", "task.val_batches=4"]
OPTIONS += ["task.test_batches=4"]


def train(seed: int, uri: str | None) -> float:
    """Train one job; return the seconds of the fit."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    words = [*OPTIONS, f"seed={seed}"]
    prepare(words)
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    trainer = Trainer(
        max_steps=STEPS,
        val_check_interval=100,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        logger=MLFlowLogger("bench", tracking_uri=uri) if uri else False,
        callbacks=[LogAll()] if uri else [],
        enable_checkpointing=uri is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    module, data = build_module(plan), build_data(plan)
    begun = time.perf_counter()
    trainer.fit(module, data)
    seconds = time.perf_counter() - begun
    if uri:
        trainer.test(module, data, verbose=False)
    return seconds


def pure(workers: int) -> list[float]:
    """Measure the training alone; the seconds of all but each worker's first."""
    jobs = (delayed(train)(seed, None) for seed in range(FEW * workers))
    return [float(s) for s in Parallel(n_jobs=workers)(jobs) if s is not None][workers:]


def ours(folder: Path, jobs: int, workers: int) -> tuple[float, float]:
    """Return seconds of the whole, and of a job's process."""
    words = ["train", "-m", f"seed=range({jobs})", *OPTIONS, f"hydra.launcher.jobs={workers}"]
    wall, said = _time([sys.executable, "-m", "rnnexp", *words], folder)
    seconds = [float(found) for found in re.findall(r"FINISHED in ([0-9.]+) s", said)]
    assert len(seconds) == jobs
    return wall, statistics.median(seconds)


def one_at_a_time(folder: Path) -> float:
    """Return the seconds that a job's process takes beyond its training, with a core to spare."""
    folder.mkdir()
    before = pure(1)
    job = ours(folder, FEW, 1)[1]
    return job - statistics.median([*before, *pure(1)])


def peer(folder: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.sweeps", "peer", f"{folder}/peer.db"]
    return _time(command, folder)[0]


def _time(command: list[str], folder: Path) -> tuple[float, str]:
    here = Path(__file__).resolve().parent.parent
    path = os.pathsep.join([str(here), str(here / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun, done.stderr.decode()


def _share(wall: float, alone: float) -> str:
    return f"{wall * WORKERS / JOBS - alone:.2f} s"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spare = one_at_a_time(folder / "one")
        before = pure(WORKERS)
        wall, job = ours(folder, JOBS, WORKERS)
        alone = statistics.median([*before, *pure(WORKERS)])
        walls = {"rnnexp train -m": wall, "joblib, MLFlowLogger": peer(folder)}
    processes = {"joblib, MLFlowLogger": ["", ""]}
    processes |= {"rnnexp train -m": [f"{job - alone:.2f} s", f"{spare:.2f} s"]}
    base = walls["joblib, MLFlowLogger"]
    rows = [
        [name, f"{wall:.1f} s", f"{wall / base:.2f}", _share(wall, alone), *processes[name]]
        for name, wall in walls.items()
    ]
    head = [f"{JOBS} jobs of {alone:.1f} s, {WORKERS} at once", "whole", "ratio"]
    head += ["overhead a job", "its process", "its process, one at a time"]
    keep("sweeps", table(head, rows))


if __name__ == "__main__":
    uri = f"sqlite:///{sys.argv[2]}"
    MLFlowLogger("bench", tracking_uri=uri).experiment_id  # noqa: B018  # the tables, before the fan-out
    Parallel(n_jobs=WORKERS)(delayed(train)(seed, uri) for seed in range(JOBS))
