"""What other batches have with the weights of a cliff; and that nobody else notices it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor
from torch.nn.utils.parametrizations import spectral_norm

from rnnexp.errors import NonFiniteError
from rnnexp.monitors.cliffs import CliffOptions
from rnnexp.monitors.cliffs_by_window import WindowedDetector
from rnnexp.monitors.control import TRIED
from rnnexp.monitors.events import CliffEvent, load_events
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.monitors.watch import CliffWatch, WatchOptions
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.tasks import Batch
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
    task: Planted | None = None,
    cell: str = "elman",
    spectral: bool = False,
    optimizer: type[torch.optim.SGD] = torch.optim.SGD,
    **model: Any,
) -> tuple[RecurrentModule, list[CliffEvent]]:
    torch.manual_seed(0)
    make_cell = plugins.get("cell", cell).cls
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=6), 1, 1, **model)
    if spectral:  # its buffers move at each forward pass
        spectral_norm(network.layers[0], "weight_hh")
    recipe = Recipe(lambda p: optimizer(p, lr=1e-6))
    module = RecurrentModule(network, task or Planted(0, 5), recipe, window)
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


@pytest.mark.parametrize("model", [{}, {"layers": 2, "dropout": 0.5}, {"spectral": True}])
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


class Carried(Planted):
    """Each batch goes on from the state that the one before has left, as of a long text."""

    def batch(self, split: Any, index: int) -> Batch:
        return replace(super().batch(split, index), fresh=index == 0)


class Odd(Carried):
    """One batch has inputs that leave a state far from the others'."""

    def batch(self, split: Any, index: int) -> Batch:
        batch = super().batch(split, index)
        if index == PLANTED_BATCH:
            batch.inputs_TBI.mul_(1e4)
        return batch


def test_the_others_begin_with_the_state_of_this_one(plugins, tmp_path: Path) -> None:
    task = Odd(0, 5)
    _, (event, *_) = trained(plugins, tmp_path, task=task, cell="irnn")
    assert (event.step, event.cause) == (PLANTED_BATCH + 1, "batch")
    assert max(event.control_norms) < 10 * event.median


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_window_is_compared_with_that_of_the_sequences_before(
    plugins, tmp_path: Path, accumulate: int
) -> None:
    steps = (PLANTED_BATCH + 1) * STEPS // 5 // accumulate
    how: dict[str, Any] = {"window": 5, "steps": steps, "accumulate": accumulate}
    _, (event, *_) = trained(plugins, tmp_path, **how)
    assert (len(event.control_norms), event.cause) == (TRIED, "batch")


class Unbounded(Planted):
    """The targets of one batch are infinite."""

    def batch(self, split: Any, index: int) -> Batch:
        batch = super().batch(split, index)
        if index == LATE:
            batch.targets.fill_(torch.inf)
        return batch


@pytest.mark.parametrize(("policy", "tried"), [("skip", TRIED), ("raise", TRIED), ("rollback", 0)])
def test_after_a_rollback_the_weights_are_others(
    plugins, tmp_path: Path, policy: str, tried: int
) -> None:
    with suppress(NonFiniteError):
        trained(plugins, tmp_path, policy=policy, steps=LATE + 5, task=Unbounded(0, 5))
    (event,) = load_events(tmp_path)
    assert (event.kind, event.step, len(event.control_norms)) == ("nonfinite", LATE + 1, tried)
    assert event.cause == ("batch" if tried else None)


class Tenfold(Callback):
    """Changes gradients, of the run alone."""

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for parameter in pl_module.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(10)


@pytest.mark.parametrize(
    "changes", [Tenfold(), LambdaCallback(on_after_backward=Tenfold().on_after_backward)]
)
def test_gradients_that_others_change_are_not_compared(
    plugins, tmp_path: Path, changes: Callback
) -> None:
    _, (event,) = trained(plugins, tmp_path, [changes])
    assert (event.control_norms, event.cause) == ((), None)


class Spoilt(Callback):
    """Makes a weight NaN before one step."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == LATE:
            with torch.no_grad():
                pl_module.network.cells[0].weight_hh[0, 0] = torch.nan


@pytest.mark.parametrize("check_finite", [False, True])
def test_weights_that_no_batch_gets_through(plugins, tmp_path: Path, check_finite: bool) -> None:
    with pytest.raises(NonFiniteError):
        trained(plugins, tmp_path, [Spoilt()], check_finite=check_finite)
    (event,) = load_events(tmp_path)
    assert (event.step, event.cause, len(event.control_norms)) == (LATE + 1, "weights", TRIED)


class Closed(torch.optim.SGD):
    """Calls its closure without gradients, as some do."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        loss = closure()
        super().step()
        return loss


def test_an_optimizer_that_switches_gradients_off(plugins, tmp_path: Path) -> None:
    _, (event,) = trained(plugins, tmp_path, optimizer=Closed)
    assert event.cause == "batch"
