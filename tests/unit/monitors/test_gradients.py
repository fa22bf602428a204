import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.plugins import MixedPrecision
from torch import nn

from rnnexp.errors import NonFiniteError
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.groups import GroupNorms
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.recurrence import Feed, Schedule
from rnnexp.training.module import RecurrentModule

from ...quiet import QUIET


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=4), max_size=4))
def test_global_norm_is_the_norm_of_all_taken_together(grads: list[list[float]]) -> None:
    parameters = [nn.Parameter(torch.zeros(len(g), dtype=torch.float64)) for g in grads]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = torch.tensor(grad, dtype=torch.float64)
    wanted = math.sqrt(sum(x * x for grad in grads for x in grad))
    without = nn.Parameter(torch.zeros(3))
    norm = GroupNorms(nn.ParameterList([*parameters, without])).total()
    assert norm == pytest.approx(wanted, abs=1e-9)


class Line(LightningModule):
    """L = a . w, whose gradient is a: batch number n has its own a."""

    def __init__(
        self, slopes: list[tuple[float, float]], constant: float = 0.0, schedule: Any = None
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.w = nn.Parameter(torch.tensor([1.0, 1.0]))
        self.slopes = torch.tensor(slopes)
        self.constant = constant

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.w @ self.slopes[batch_idx] + self.constant

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.125)
        if self.schedule is None:
            return optimizer
        schedule = {"scheduler": self.schedule(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def train_dataloader(self) -> "Nothings":
        return Nothings(len(self.slopes))


class Nothings:
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from torch.zeros(self.count, 1)


class Noting(StepMonitor):
    def __init__(self, guard: NonFiniteGuard) -> None:
        super().__init__(guard)
        self.seen: list[dict[str, float]] = []
        self.recorded: list[dict[str, float]] = []

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        super().on_train_batch_end(*args, **kwargs)
        self.seen.append(dict(self.latest))
        self.recorded.append(dict(self.news))

    def steps_of(self, key: str) -> list[int]:
        return [step for step, figures in enumerate(self.recorded, 1) if key in figures]


def _fit(module: Line, tmp_path, policy: str = "raise", **options: Any) -> Noting:
    monitor = Noting(NonFiniteGuard(policy))
    Trainer(
        max_epochs=1,
        logger=False,
        **QUIET,
        default_root_dir=tmp_path,
        callbacks=[monitor],
        **options,
    ).fit(module)
    return monitor


def test_raw_and_clipped_norm_by_hand(tmp_path) -> None:
    module = Line([(3.0, 4.0), (0.3, 0.4), (6.0, 8.0)])
    monitor = _fit(module, tmp_path, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
    raw = [latest["grad/raw_norm"] for latest in monitor.seen]
    clipped = [latest["grad/clipped_norm"] for latest in monitor.seen]
    assert raw == pytest.approx([5.0, 0.5, 10.0])
    assert clipped == pytest.approx([1.0, 0.5, 1.0], rel=1e-5)
    fractions = [latest["grad/clipped_fraction"] for latest in monitor.seen]
    assert fractions == pytest.approx([1.0, 0.5, 2 / 3])
    assert monitor.seen[0]["train/loss"] == 7.0
    assert monitor.seen[0]["train/lr"] == 0.125
    assert monitor.summary() == pytest.approx(
        {
            "grad/largest_raw_norm": 10.0,
            "grad/clipped_fraction": 2 / 3,
            "grad/skipped": 0.0,
            "grad/rollbacks": 0.0,
        }
    )


def test_what_stays_as_it_was_is_recorded_once(tmp_path) -> None:
    slopes = [(3.0, 4.0)] * 12
    monitor = _fit(Line(slopes), tmp_path, gradient_clip_val=1.0)
    assert monitor.steps_of("grad/clipped_norm") == [*range(1, 13)]
    assert monitor.steps_of("train/lr") == [1]
    assert monitor.steps_of("grad/clipped_fraction") == [10]
    assert monitor.recorded[9]["grad/clipped_fraction"] == 1.0
    halves = partial(torch.optim.lr_scheduler.StepLR, step_size=5, gamma=0.5)
    monitor = _fit(Line(slopes, schedule=halves), tmp_path)
    assert monitor.steps_of("train/lr") == [1, 6, 11]
    assert [figures["train/lr"] for figures in monitor.recorded[::5]] == [0.125, 0.0625, 0.03125]


def test_a_rate_on_record_is_known_after_a_resume(tmp_path) -> None:
    before = _fit(Line([(3.0, 4.0)]), tmp_path)
    monitor = Noting(NonFiniteGuard("raise"))
    monitor.load_state_dict(before.state_dict())
    trainer = Trainer(max_epochs=1, logger=False, **QUIET, callbacks=[monitor])
    trainer.fit(Line([(3.0, 4.0)] * 2))
    assert monitor.steps_of("train/lr") == []


class Scheduled:
    """The part of a recipe that says what is fed back."""

    def feed(self, step: int) -> Feed:
        return Feed.scheduled(Schedule("linear", floor=0.5, steps=4.0).share(step))


def test_the_share_of_targets_is_recorded_when_it_changes(tmp_path) -> None:
    module = Line([(3.0, 4.0)] * 5)
    assert "train/teacher_share" not in _fit(module, tmp_path).latest
    module.recipe = Scheduled()
    monitor = _fit(module, tmp_path)
    assert monitor.steps_of("train/teacher_share") == [1, 2, 3]
    shares = [figures["train/teacher_share"] for figures in monitor.recorded[:3]]
    assert shares == [1.0, 0.75, 0.5], "that which the step was made with"


def test_the_loss_of_a_step_is_the_mean_over_its_batches(tmp_path) -> None:
    module = Line([(3.0, 4.0), (0.3, 0.4), (1.0, 0.0), (0.0, 3.0)])
    before = module.w.detach().clone()
    monitor = _fit(module, tmp_path, accumulate_grad_batches=2)
    after = before - 0.125 * torch.tensor([1.65, 2.2])  # the mean of the first two gradients
    losses = [latest["train/loss"] for latest in monitor.seen[1::2]]
    assert losses == pytest.approx([(7.0 + 0.7) / 2, float(after[0] + 3 * after[1]) / 2])


def test_clipping_by_value_by_hand(tmp_path) -> None:
    module = Line([(3.0, -4.0), (0.3, 0.4)])
    monitor = _fit(module, tmp_path, gradient_clip_val=1.0, gradient_clip_algorithm="value")
    clipped = [latest["grad/clipped_norm"] for latest in monitor.seen]
    assert clipped == pytest.approx([math.sqrt(2), 0.5])


def test_without_clipping_both_norms_are_one(tmp_path) -> None:
    monitor = _fit(Line([(3.0, 4.0)] * 2), tmp_path)
    assert [s["grad/raw_norm"] for s in monitor.seen] == [5.0, 5.0]
    assert [s["grad/clipped_norm"] for s in monitor.seen] == [5.0, 5.0]
    assert monitor.summary()["grad/clipped_fraction"] == 0.0


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_is_spared_exactly_where_it_would_change_nothing(tmp_path, algorithm) -> None:
    told: list[bool] = []

    class Watched(Line):
        configure_gradient_clipping = RecurrentModule.configure_gradient_clipping

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            told.append(self.nothing_to_clip)

    slopes = [(3.0, 4.0), (0.3, 0.4), (0.6, 0.8), (0.0, 0.0), (math.nan, 1.0)]
    module = Watched(slopes)
    _fit(module, tmp_path, "skip", gradient_clip_val=1.0, gradient_clip_algorithm=algorithm)
    # A norm of 1.0 may be a rounding above it; of a skipped step nothing is left to clip.
    assert told == [False, True, False, True, True]


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_a_gradient_with_squares_beyond_float32_is_clipped(tmp_path, algorithm) -> None:
    class Clipped(Line):
        configure_gradient_clipping = RecurrentModule.configure_gradient_clipping

    module = Clipped([(3e25, -4e25)])
    monitor = _fit(module, tmp_path, gradient_clip_val=1.0, gradient_clip_algorithm=algorithm)
    assert monitor.seen[0]["grad/raw_norm"] == pytest.approx(5e25)
    step = {"norm": (0.6, -0.8), "value": (1.0, -1.0)}[algorithm]
    assert monitor.seen[0]["grad/clipped_norm"] == pytest.approx(math.hypot(*step))
    assert module.w.tolist() == pytest.approx([1 - 0.125 * slope for slope in step])


class Beside(Line):
    """A module whose network is not all that is trained."""

    def __init__(self, slopes: list[tuple[float, float]]) -> None:
        super().__init__(slopes)
        self.network = nn.Linear(1, 1)
        self.task = nn.ParameterDict({"w": self.w})
        del self.w

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.task["w"] @ self.slopes[batch_idx] + 0 * self.network(torch.ones(1)).sum()


def test_what_is_trained_beside_the_network_counts_as_well(tmp_path) -> None:
    seen = _fit(Beside([(3.0, 4.0)]), tmp_path, gradient_clip_val=1.0)
    (figures,) = seen.seen
    assert figures["grad/raw_norm"] == 5.0
    assert figures["grad/clipped_norm"] == pytest.approx(1.0, rel=1e-5)
    assert seen.groups == {"weight": 0.0, "bias": 0.0, "task": 5.0}
    with pytest.raises(NonFiniteError, match="at step 1"):
        _fit(Beside([(math.nan, 0.0)]), tmp_path)


def test_accumulated_gradient_is_measured_once_per_step(tmp_path) -> None:
    monitor = _fit(Line([(3.0, 4.0)] * 4), tmp_path, accumulate_grad_batches=2)
    assert monitor.state_dict()["steps"] == 2
    assert monitor.seen[-1]["grad/raw_norm"] == pytest.approx(5.0)


def test_gradient_that_is_not_finite_raises_at_its_step(tmp_path) -> None:
    with pytest.raises(NonFiniteError, match=r"The loss is nan at step 2\."):
        _fit(Line([(1.0, 1.0), (math.nan, 1.0)]), tmp_path)


@pytest.mark.parametrize("constant", [math.inf, math.nan])
def test_loss_that_is_not_finite_raises_though_its_gradient_is(tmp_path, constant: float) -> None:
    with pytest.raises(NonFiniteError, match=rf"The loss is {constant} at step 1\."):
        _fit(Line([(1.0, 1.0)], constant), tmp_path)


def test_skipped_step_counts_as_skipped_and_not_as_clipped(tmp_path) -> None:
    module = Line([(3.0, 4.0), (math.inf, 1.0), (3.0, 4.0)])
    monitor = _fit(module, tmp_path, "skip", gradient_clip_val=100.0)
    assert module.w.tolist() == pytest.approx([1 - 2 * 0.125 * 3, 1 - 2 * 0.125 * 4])
    summary = monitor.summary()
    assert summary["grad/skipped"] == 1.0
    assert summary["grad/clipped_fraction"] == 0.0
    assert summary["grad/largest_raw_norm"] == 5.0
    assert monitor.seen[1]["grad/raw_norm"] == math.inf


@pytest.mark.parametrize("threshold", [None, 100.0, 1.0])
def test_of_a_gradient_that_was_dropped_nothing_is_left(tmp_path, threshold: float | None) -> None:
    # The loss is infinite, and the gradient of it is as always.
    module = Line([(3.0, 4.0)], math.inf)
    monitor = _fit(module, tmp_path, "skip", gradient_clip_val=threshold)
    assert monitor.seen[0]["grad/raw_norm"] == 5.0
    assert monitor.seen[0]["grad/clipped_norm"] == 0.0
    assert monitor.summary()["grad/clipped_fraction"] == 0.0


def test_counts_survive_a_resume(tmp_path) -> None:
    monitor = _fit(Line([(3.0, 4.0), (math.nan, 1.0)]), tmp_path, "skip", gradient_clip_val=1.0)
    other = StepMonitor(NonFiniteGuard("skip"))
    other.load_state_dict(monitor.state_dict())
    assert other.summary() == monitor.summary()
    assert other.summary()["grad/skipped"] == 1.0


@pytest.mark.filterwarnings("ignore:.*AMP with fp16 is not supported on CPU")
def test_16_mixed_without_a_scaler_keeps_the_policy(tmp_path) -> None:
    # On a CPU Lightning takes bf16 for it, and no scaler skips the step.
    module = Line([(math.nan, 1.0), (1.0, 1.0)])
    monitor = _fit(module, tmp_path, "skip", precision="16-mixed")
    assert monitor.guard.skipped == 1
    assert torch.isfinite(module.w).all()


@pytest.mark.parametrize("scaled", [False, True])
def test_the_rate_on_record_is_that_of_the_step(tmp_path, scaled: bool) -> None:
    halves = partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda step: 2.0**-step)
    module = Line([(1.0, 1.0), (1.0, 1.0), (math.nan, 1.0), (1.0, 1.0)], schedule=halves)
    scaler = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", 4.0))
    monitor = _fit(module, tmp_path, "rollback", plugins=[scaler] if scaled else [])
    rates = [0.125, 0.0625, 0.03125, 0.015625 / 2]  # the rollback halves the last once more
    assert [latest["train/lr"] for latest in monitor.seen] == rates
    assert module.w.tolist() == [1 - rates[3]] * 2, "back to the start, and one step"
