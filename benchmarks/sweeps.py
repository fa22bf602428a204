"""Claim: a sweep of small jobs takes at most 0.7 of the time of the usual stack.

The same jobs (adding, T=50, B=32, LSTM H=64, validation every 100 steps, as many hundred steps as
this machine trains in 2 s), two at once with one thread each, from the command line to the last
record in a fresh sqlite store: by ``rnnexp train -m``; and by a plain script with Lightning and its
MLFlowLogger at every step, under joblib.Parallel(n_jobs=2), which is what Hydra's joblib launcher
runs (it is not installed here).
Overhead of a job: its share of the whole, imports and the last record included, less the time of
training it without monitor, logger and checkpoints while another trains beside it. Its process:
what the launcher counts from the start of a job to its end, testing, checkpoints and the last
record included, less that training; once with all cores taken, which the delivery to the store
then shares, and once with one job at a time. The two are measured in turns, a few jobs each, and
the median of the turns' differences counts: a machine's speed may change within a minute.
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

JOBS, WORKERS = 24, 2
SECONDS = 2.0
"""What a job's training alone takes, about."""
FEW = 5
"""Jobs of each worker where a few do: the first warms up."""
TURNS = 5
OPTIONS = (
    *("task=adding", "task.length=50", "cell=lstm", "cell.hidden_size=64", "clip=norm"),
    *("trainer.val_every=100", "task.val_batches=4", "task.test_batches=4"),
)


def train(seed: int, steps: int, uri: str | None = None) -> float:
    """Train one job; return the seconds of the fit."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    words = [*OPTIONS, f"trainer.max_steps={steps}", f"seed={seed}"]
    prepare(words)
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    trainer = Trainer(
        max_steps=steps,
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


def steps_of(seconds: float) -> int:
    """Return how many hundred steps train for about so long, all cores taken."""
    trial = 300
    return max(1, round(seconds / statistics.median(pure(trial, WORKERS)) * trial / 100)) * 100


def pure(steps: int, workers: int) -> list[float]:
    """Measure the training alone; the seconds of all but each worker's first."""
    jobs = (delayed(train)(seed, steps) for seed in range(FEW * workers))
    return [float(s) for s in Parallel(n_jobs=workers)(jobs) if s is not None][workers:]


def ours(folder: Path, steps: int, jobs: int, workers: int) -> tuple[float, float]:
    """Return seconds of the whole, and of a job's process."""
    words = ["train", "-m", f"seed=range({jobs})", *OPTIONS, f"trainer.max_steps={steps}"]
    words.append(f"hydra.launcher.jobs={workers}")
    wall, said = _time([sys.executable, "-m", "rnnexp", *words], folder)
    seconds = [float(found) for found in re.findall(r"FINISHED in ([0-9.]+) s", said)]
    assert len(seconds) == jobs
    return wall, statistics.median_grouped(seconds, 0.1)  # they are said in tenths


def beyond_training(folder: Path, steps: int, workers: int) -> tuple[float, float]:
    """Return seconds of a job's training, and what its process takes beyond them."""
    trained: list[float] = []
    more: list[float] = []
    for turn in range(TURNS):
        place = folder / f"{workers}_{turn}"
        place.mkdir()
        trained.append(statistics.median(pure(steps, workers)))
        more.append(ours(place, steps, FEW * workers, workers)[1] - trained[-1])
    return statistics.median(trained), statistics.median(more)


def peer(folder: Path, steps: int) -> float:
    store = f"{folder}/peer.db"
    return _time([sys.executable, "-m", "benchmarks.sweeps", "peer", store, str(steps)], folder)[0]


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
    steps = steps_of(SECONDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spare = beyond_training(folder, steps, 1)[1]
        alone, taken = beyond_training(folder, steps, WORKERS)
        wall, _ = ours(folder, steps, JOBS, WORKERS)
        walls = {"rnnexp train -m": wall, "joblib, MLFlowLogger": peer(folder, steps)}
    processes = {"joblib, MLFlowLogger": ["", ""]}
    processes |= {"rnnexp train -m": [f"{taken:.2f} s", f"{spare:.2f} s"]}
    base = walls["joblib, MLFlowLogger"]
    rows = [
        [name, f"{wall:.1f} s", f"{wall / base:.2f}", _share(wall, alone), *processes[name]]
        for name, wall in walls.items()
    ]
    head = [f"{JOBS} jobs of {alone:.1f} s ({steps} steps), {WORKERS} at once", "whole", "ratio"]
    head += ["overhead a job", "its process", "its process, one at a time"]
    keep("sweeps", table(head, rows))


if __name__ == "__main__":
    uri, steps = f"sqlite:///{sys.argv[2]}", int(sys.argv[3])
    MLFlowLogger("bench", tracking_uri=uri).experiment_id  # noqa: B018  # the tables, before the fan-out
    Parallel(n_jobs=WORKERS)(delayed(train)(seed, steps, uri) for seed in range(JOBS))
