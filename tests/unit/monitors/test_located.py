"""A cliff is located at the time step where it was planted, however the sequence is trained on."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import mse_loss

from rnnexp.monitors.control import loss_scale
from rnnexp.monitors.events import CliffEvent, load_events
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.monitors.passes import Pass, flows_of
from rnnexp.monitors.watch import CliffWatch, WatchOptions
from rnnexp.recurrence import RecurrentNetwork, Trace
from rnnexp.tasks import Batch, GeneratedTask
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.module import Recipe, RecurrentModule

from ...quiet import QUIET

STEPS, ROWS, PLANTED_BATCH = 20, 4, 60


class Planted(GeneratedTask):
    """Random targets at every step, one of them a thousand times as large in one batch."""

    input_size = output_size = 1

    def __init__(self, seed: int, at: int) -> None:
        super().__init__(seed, length=STEPS, batch_size=ROWS)
        self.at = at

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        shape = (self.length, self.batch_size, 1)
        return torch.randn(shape, generator=rng), torch.randn(shape, generator=rng)

    def batch(self, split: Any, index: int) -> Batch:
        batch = super().batch(split, index)
        if index == PLANTED_BATCH:
            batch.targets[self.at] *= 1000
        return batch

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mse_loss(outputs, targets)


def cliff_of(
    plugins,
    folder: Path,
    at: int,
    *,
    window: int | None = None,
    accumulate: int = 1,
    before: Sequence[Callback] = (),
    options: WatchOptions | None = None,
    **model: Any,
) -> tuple[CliffEvent, Planted]:
    torch.manual_seed(0)
    make_cell = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=6), 1, 1, **model)
    task = Planted(0, at)
    module = RecurrentModule(network, task, Recipe(lambda p: torch.optim.SGD(p, lr=1e-9)), window)
    monitor = StepMonitor(NonFiniteGuard())
    options = options or WatchOptions(folder, lambda norms, step: None)
    trainer = Trainer(
        max_steps=(PLANTED_BATCH + 5) * (STEPS // (window or STEPS)) // accumulate,
        callbacks=[*before, monitor, CliffWatch(monitor, options)],
        logger=False,
        accumulate_grad_batches=accumulate,
        limit_val_batches=0,
        **QUIET,
        default_root_dir=folder,
    )
    trainer.fit(module, TaskData(task, "every_step", window))
    (event,) = load_events(folder)
    return event, task


@pytest.mark.parametrize("at", [0, 5, 17])
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_cliff_is_where_it_was_planted(
    plugins, tmp_path: Path, at: int, window: int | None, bidirectional: bool
) -> None:
    event, task = cliff_of(plugins, tmp_path, at, window=window, bidirectional=bidirectional)
    assert event.time_step == at + 1
    assert event.origin == "outputs", "the error is larger, wherever it enters"
    assert event.source == pytest.approx(max(event.grad_norm_T), rel=0.1)
    assert event.source < event.source_sum < 1.2 * event.source, "the others enter, too"
    assert event.begin == (0 if window is None else at // window * window)
    assert len(event.grad_norm_T) == (window or STEPS)
    assert event.batch_seed == task.batch("train", PLANTED_BATCH).seed


@pytest.mark.parametrize("accumulate", [2, 3])
def test_of_the_batches_of_a_step_it_is_explained_by_the_right_one(
    plugins, tmp_path: Path, accumulate: int
) -> None:
    event, task = cliff_of(plugins, tmp_path, 5, accumulate=accumulate)
    assert event.step == PLANTED_BATCH // accumulate + 1
    assert event.time_step == 6
    assert event.batch_seed == task.batch("train", PLANTED_BATCH).seed


class Reloaded(Callback):
    """Has a new watch go on at every batch, which knows what a checkpoint holds and no more."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        callbacks = cast(Any, trainer).callbacks
        old = callbacks[-1]
        callbacks[-1] = CliffWatch(old.monitor, old.options)
        callbacks[-1].load_state_dict(json.loads(json.dumps(old.state_dict())))
        callbacks[-1].on_train_start(trainer, pl_module)


@pytest.mark.parametrize(("window", "accumulate"), [(None, 2), (None, 3), (5, 3)])
def test_a_resume_amid_an_accumulation_changes_nothing(
    plugins, tmp_path: Path, window: int | None, accumulate: int
) -> None:
    found: list[tuple[CliffEvent, list[str]]] = []
    for name, before in (("whole", []), ("reloaded", [Reloaded()])):
        (folder := tmp_path / name).mkdir()
        profiles: list[str] = []
        note = partial(_note, profiles)
        how = {"window": window, "accumulate": accumulate, "before": before}
        options = WatchOptions(folder, note, flow_every=1)
        event, _ = cliff_of(plugins, folder, 7, options=options, **how)
        found.append((event, profiles))
    assert found[0][1], "no profile was recorded"
    assert found[0] == found[1]


def _note(profiles: list[str], norms: Mapping[str, Sequence[float]], step: int) -> None:
    profiles.append(f"{step} {norms}")  # as text, in which NaN is NaN


def norms_of(traces: Sequence[Tensor], **options: Any) -> Mapping[str, Sequence[float]]:
    batch = Batch(torch.zeros(len(traces[0]), 1, 1), torch.zeros(1))
    return Pass(batch, [Trace(trace) for trace in traces], **options).norms


def test_a_pass_is_in_the_order_of_the_sequence_and_in_units_of_the_loss() -> None:
    up_T, down_T = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    assert norms_of([up_T, down_T]) == {"layer0": [1.0, 2.0], "layer1": [3.0, 4.0]}
    both = norms_of([up_T, down_T], directions=2)
    assert both == {"layer0": [1.0, 2.0], "layer0_reverse": [4.0, 3.0]}
    assert norms_of([up_T], scale=4.0) == {"layer0": [0.25, 0.5]}


def test_the_passes_of_a_step_are_one_batch() -> None:
    batch = Batch(torch.zeros(2, 1, 1), torch.zeros(1), seed=7)
    other = Batch(torch.zeros(2, 1, 1), torch.zeros(1), seed=8)
    norms = torch.tensor([3.0, 1.0]), torch.tensor([4.0, 0.0])
    (flow,) = flows_of([Pass(batch, [Trace(norms[0])]), Pass(other, [Trace(norms[1])])])
    assert flow.norms == {"layer0": [5.0, 1.0]}
    assert flow.seed == 8
    assert flows_of([Pass(batch, [])]) == []


def test_the_scale_of_float16_is_known() -> None:
    scaler = SimpleNamespace(get_scale=lambda: 65536.0)
    of = [SimpleNamespace(precision_plugin=SimpleNamespace(scaler=s)) for s in (scaler, None)]
    assert [loss_scale(cast(Trainer, trainer)) for trainer in of] == [65536.0, 1.0]
