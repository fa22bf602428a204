"""Claim: with every figure of every step recorded in sqlite, a run takes at most 5 % longer.

The same run (adding, T=50, B=32, LSTM H=64, one thread) under Lightning: without monitor and
logger; with all that this project watches (norms by group, cliffs, dL/dh_t over time) and its
journal; with Lightning's own MLFlowLogger logging five figures at every step. The three take
turns; the median time of a step counts.
"""

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import MLFlowLogger

from benchmarks.machine import keep, table
from rnnexp.app.config.build import Plan, build_data, build_module
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.monitors.watch import CliffWatch, WatchOptions
from rnnexp.tracking import RunHeader, Tracking
from rnnexp.tracking.logger import JournalLogger

STEPS, ROUNDS = 400, 5
OPTIONS = ["task=adding", "task.length=50", "cell=lstm", "cell.hidden_size=64", "clip=norm"]


class Clock(Callback):
    """Times from batch end to batch end, milliseconds."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def median(self) -> float:
        times = [b - a for a, b in zip(self.ends[50:], self.ends[51:], strict=False)]
        return 1000 * statistics.median(times)


class LogAll(Callback):
    """What a user of the stock logger would write to see the same figures."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any
    ) -> None:
        grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(grads))
        names = ("grad/raw_norm", "grad/clipped_norm", "grad/clipped_fraction", "train/lr")
        values = {"train/loss": float(outputs["loss"]), **dict.fromkeys(names, norm)}
        assert trainer.logger is not None
        trainer.logger.log_metrics(values, step=trainer.global_step)


def train(plan: Plan, logger: Any, callbacks: list[Callback]) -> float:
    clock = Clock()
    trainer = Trainer(
        max_steps=STEPS,
        logger=logger,
        callbacks=[*callbacks, clock],
        gradient_clip_val=1.0,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(build_module(plan), build_data(plan))
    return clock.median


def bare(plan: Plan, folder: Path) -> float:
    return train(plan, False, [])


def ours(plan: Plan, folder: Path) -> float:
    tracking = Tracking(f"sqlite:///{folder}/ours.db", folder)
    run = folder / f"run{time.time_ns()}"
    log = tracking.open_run(run, RunHeader("bench", "bench", {}, {}))
    log.run_id(timeout=60)  # the store is made beforehand, as it is for a second run
    try:
        monitor = StepMonitor(NonFiniteGuard())
        watch = CliffWatch(monitor, WatchOptions(run, log.profile))
        return train(plan, JournalLogger(log), [monitor, watch])
    finally:
        log.end("FINISHED")
        tracking.close(60)


def stock(plan: Plan, folder: Path) -> float:
    logger = MLFlowLogger("bench", tracking_uri=f"sqlite:///{folder}/stock.db")
    return train(plan, logger, [LogAll()])


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    prepare(OPTIONS)
    plan = check_jobs(OPTIONS, multirun=False, config_dir=None)[0].plan
    ways: dict[str, Callable[[Plan, Path], float]] = {
        "no monitor, no logger": bare,
        "all monitors and the journal, every step": ours,
        "Lightning's MLFlowLogger, every step": stock,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, way in ways.items():
                times[name].append(way(plan, Path(folder)))
    best = {name: min(values) for name, values in times.items()}
    base = best["no monitor, no logger"]
    rows = [[name, f"{t:.2f} ms", f"{t / base:.2f}"] for name, t in best.items()]
    keep("tracking", table(["a training step", "time", "ratio"], rows))


if __name__ == "__main__":
    main()
