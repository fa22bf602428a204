"""The module and the monitors in a Trainer of the user's own, as docs/extending.md has it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor

from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.monitors.watch import CliffWatch, WatchOptions
from rnnexp.recurrence import Feed, RecurrentNetwork
from rnnexp.registry import Registry
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.module import Recipe, RecurrentModule

from ...quiet import QUIET


def made(
    plugins: Registry, name: str, pattern: Any, window: int | None = None, **options: Any
) -> tuple[RecurrentModule, TaskData]:
    task = plugins.get("task", name).cls(length=8, batch_size=4)
    make_cell = plugins.get("cell", "gru").cls
    network = RecurrentNetwork(
        lambda size: make_cell(size, hidden_size=4),
        task.input_size,
        task.output_size,
        readout=pattern,
        **options,
    )
    module = RecurrentModule(network, task, Recipe(torch.optim.Adam), window)
    return module, TaskData(task, pattern, window)


def test_an_own_trainer_records_norms_and_profiles(plugins: Registry, tmp_path: Path) -> None:
    module, data = made(plugins, "adding", "last")
    flows: list[int] = []
    monitor = StepMonitor(NonFiniteGuard("raise"))
    watch = CliffWatch(monitor, WatchOptions(tmp_path, lambda norms, step: flows.append(step)))
    logger = CSVLogger(tmp_path)
    trainer = Trainer(
        max_steps=3,
        logger=logger,
        callbacks=[monitor, watch],
        gradient_clip_val=1e-3,
        log_every_n_steps=1,
        limit_val_batches=2,
        **QUIET,
    )
    trainer.fit(module, data)
    logger.save()
    assert "grad/raw_norm" in Path(logger.experiment.metrics_file_path).read_text("utf-8")
    assert monitor.latest["grad/clipped_norm"] == pytest.approx(1e-3)
    assert flows


def test_an_own_trainer_validates(plugins: Registry) -> None:
    module, data = made(plugins, "adding", "last")
    trainer = Trainer(logger=False, limit_val_batches=2, **QUIET)
    trainer.validate(module, data, verbose=False)
    assert trainer.callback_metrics["val/loss"].isfinite()


@pytest.mark.parametrize("window", [None, 3])
def test_an_own_trainer_predicts(plugins: Registry, window: int | None) -> None:
    module, data = made(plugins, "copy_memory", "every_step", window, feedback=True)
    batches = list(data.val_dataloader())[:2]
    trainer = Trainer(logger=False, limit_predict_batches=2, **QUIET)
    found: Any = trainer.predict(module, data.val_dataloader())
    with torch.no_grad():
        for batch, outputs in zip(batches, found, strict=True):
            wanted: Tensor = module(batch.inputs_TBI, feed=Feed.free())[0]
            torch.testing.assert_close(outputs, wanted)
