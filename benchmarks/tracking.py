"""Claim: with every figure of every step recorded in sqlite, a run takes at most 5 % longer.

The same run (adding, T=50, B=32, LSTM H=64, one thread): under Lightning without monitor, logger or
any other callback; the same without Lightning's profiler, as rnnexp has it; as `rnnexp train` runs
it, with all that it watches (norms by group, cliffs, dL/dh_t over time), its journal, its
checkpoints and its ear for signals; with Lightning's own MLFlowLogger logging five figures at every
step. All take turns; the shortest mean time of a step counts, validation left out.
"""

import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.profilers import Profiler

from benchmarks.machine import keep, table
from rnnexp.app.config.build import Plan, build_data, build_module
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.trainer import make_trainer
from rnnexp.tracking import RunHeader, Tracking
from rnnexp.training.hooks import NoProfiler, drop_empty_hooks
from rnnexp.training.interrupt import StopRequest

STEPS, FIRST, ROUNDS = 400, 50, 7
OPTIONS = ["task=adding", "task.length=50", "cell=lstm", "cell.hidden_size=64", "clip=norm"]
OPTIONS += [f"trainer.max_steps={STEPS}", f"trainer.val_every={STEPS}", "trainer.progress=none"]


class Clock(Callback):
    """Notes when each training batch ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def mean(self) -> float:
        """Milliseconds a step, the first ones and the last left out."""
        begin, end = self.ends[FIRST], self.ends[STEPS - 2]
        return 1000 * (end - begin) / (STEPS - 2 - FIRST)


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


def train(plan: Plan, trainer: Trainer) -> float:
    clock = Clock()
    trainer.callbacks.append(clock)
    trainer.fit(build_module(plan), build_data(plan))
    return clock.mean


def plain(logger: Any, callbacks: list[Callback], profiler: Profiler | None = None) -> Trainer:
    return Trainer(
        profiler=profiler,
        max_steps=STEPS,
        logger=logger,
        callbacks=callbacks,
        gradient_clip_val=1.0,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )


def bare(plan: Plan, folder: Path) -> float:
    return train(plan, plain(False, []))


def stripped(plan: Plan, folder: Path) -> float:
    trainer = plain(False, [], NoProfiler())
    drop_empty_hooks(trainer.callbacks)
    return train(plan, trainer)


def ours(plan: Plan, folder: Path) -> float:
    tracking = Tracking(f"sqlite:///{folder}/ours.db", folder)
    run = folder / f"run{time.time_ns()}"
    log = tracking.open_run(run, RunHeader("bench", "bench", {}, {}))
    log.run_id(timeout=60)  # the store is made beforehand, as it is for a second run
    try:
        return train(plan, make_trainer(plan, run, log, StopRequest()))
    finally:
        log.end("FINISHED")
        tracking.close(60)


def stock(plan: Plan, folder: Path) -> float:
    logger = MLFlowLogger("bench", tracking_uri=f"sqlite:///{folder}/stock.db")
    return train(plan, plain(logger, [LogAll()]))


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    prepare(OPTIONS)
    plan = check_jobs(OPTIONS, multirun=False, config_dir=None)[0].plan
    ways: dict[str, Callable[[Plan, Path], float]] = {
        "Lightning alone": bare,
        "the same without its profiler": stripped,
        "rnnexp train, everything at every step": ours,
        "Lightning's MLFlowLogger, every step": stock,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, way in ways.items():
                times[name].append(way(plan, Path(folder)))
    best = {name: min(values) for name, values in times.items()}
    bases = [best["Lightning alone"], best["the same without its profiler"]]
    rows = [[name, f"{t:.2f} ms", *(f"{t / b:.2f}" for b in bases)] for name, t in best.items()]
    head = ["a training step", "time", "to Lightning", "to Lightning without profiler"]
    keep("tracking", table(head, rows))


if __name__ == "__main__":
    main()
