"""What other batches have with the weights of a cliff; and that nobody else notices it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rnnexp.monitors.cliffs import CliffOptions
from rnnexp.monitors.cliffs_by_window import WindowedDetector
from rnnexp.monitors.control import TRIED
from rnnexp.monitors.events import CliffEvent, load_events
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.monitors.watch import CliffWatch, WatchOptions
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.module import Recipe, RecurrentModule

from ...quiet import QUIET
from .test_located import PLANTED_BATCH, STEPS, Planted

LATE = 40
NEVER = WindowedDetector(CliffOptions(ratio=1e30))


class Displaced(Callback):
    """Moves the weights to where the gradient is large, before one step."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        del batch, batch_idx
        if trainer.global_step == LATE:
            with torch.no_grad():
                pl_module.network.readout.weight.mul_(1e4)


class Kept(Callback):
    """Keeps the weights before each step, and what is drawn after it."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.drawn: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        del trainer, batch, batch_idx
        self.weights.append({k: v.clone() for k, v in pl_module.state_dict().items()})
        self.drawn.append(torch.rand(1))


def trained(
    plugins,
    folder: Path,
    callbacks: Sequence[Callback] = (),
    *,
    detector: WindowedDetector | None = None,
    policy: Any = "raise",
    accumulate: int = 1,
    window: int | None = None,
    steps: int = PLANTED_BATCH + 5,
    **model: Any,
) -> tuple[RecurrentModule, list[CliffEvent]]:
    torch.manual_seed(0)
    make_cell = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=6), 1, 1, **model)
    recipe = Recipe(lambda p: torch.optim.SGD(p, lr=1e-6))
    module = RecurrentModule(network, Planted(0, 5), recipe, window)
    monitor = StepMonitor(NonFiniteGuard(policy))
    watch = CliffWatch(monitor, WatchOptions(folder, lambda norms, step: None), detector)
    trainer = Trainer(
        max_steps=steps,
        callbacks=[*callbacks, monitor, watch],
        logger=False,
        accumulate_grad_batches=accumulate,
        limit_val_batches=0,
        gradient_clip_val=1.0,
        **QUIET,
        default_root_dir=folder,
    )
    trainer.fit(module, TaskData(module.task, "every_step", window))
    return module, load_events(folder)


def norm_with(module: RecurrentModule, weights: dict[str, Tensor], indices: range) -> float:
    module.load_state_dict(weights)
    module.zero_grad()
    for index in indices:
        batch = module.task.batch("train", index)
        outputs, _ = module.network(batch.inputs_TBI)
        (module.task.loss(outputs, batch.targets) / len(indices)).backward()
    squares = [p.grad.square().sum() for p in module.parameters() if p.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_the_batches_before_with_the_very_weights(plugins, tmp_path: Path, accumulate: int) -> None:
    kept, steps = Kept(), PLANTED_BATCH // accumulate + 3
    module, (event,) = trained(plugins, tmp_path, [kept], accumulate=accumulate, steps=steps)
    assert event.cause == "batch"
    begin = (event.step - 1) * accumulate
    weights = kept.weights[begin]
    batches = [range(begin - k * accumulate, begin - (k - 1) * accumulate) for k in (1, 2, 3)]
    expected = [norm_with(module, weights, step) for step in batches]
    assert event.control_norms == pytest.approx(expected, rel=1e-4)
    planted = range(begin, begin + accumulate)
    assert norm_with(module, weights, planted) == pytest.approx(event.raw_norm, rel=1e-4)


def test_weights_at_a_cliff_have_it_with_every_batch(plugins, tmp_path: Path) -> None:
    _, (event,) = trained(plugins, tmp_path, [Displaced()], steps=LATE + 5)
    assert (event.step, event.cause, len(event.control_norms)) == (LATE + 1, "weights", TRIED)


@pytest.mark.parametrize("model", [{}, {"layers": 2, "dropout": 0.5}])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_goes_on_as_if_it_had_not_been(
    plugins, tmp_path: Path, model: dict[str, Any], accumulate: int
) -> None:
    ends: list[list[Tensor]] = []
    for name, detector in (("seen", None), ("unseen", NEVER)):
        (folder := tmp_path / name).mkdir()
        kept = Kept()
        module, events = trained(
            plugins, folder, [kept], detector=detector, accumulate=accumulate, **model
        )
        ends.append([*module.state_dict().values(), *kept.drawn])
        assert len(events) == (name == "seen")
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_window_goes_on_from_a_state_of_other_weights(plugins, tmp_path: Path) -> None:
    steps = (PLANTED_BATCH + 1) * STEPS // 5
    _, (event,) = trained(plugins, tmp_path, window=5, steps=steps)
    assert (event.control_norms, event.cause) == ((), None)


class Infinite(Callback):
    """Makes one gradient infinite, whatever the batch."""

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == LATE:
            for parameter in pl_module.parameters():
                assert parameter.grad is not None
                parameter.grad.fill_(torch.inf)


@pytest.mark.parametrize(("policy", "tried"), [("skip", TRIED), ("rollback", 0)])
def test_after_a_rollback_the_weights_are_others(
    plugins, tmp_path: Path, policy: str, tried: int
) -> None:
    _, (event,) = trained(plugins, tmp_path, [Infinite()], policy=policy, steps=LATE + 5)
    assert (event.kind, event.step, len(event.control_norms)) == ("nonfinite", LATE + 1, tried)
    assert event.cause == ("batch" if tried else None)
