"""What is kept of a step whose loss or gradient ended the run."""

import math
from pathlib import Path
from typing import ClassVar

import pytest
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor

from rnnexp.errors import NonFiniteError
from rnnexp.monitors.control import TRIED
from rnnexp.monitors.events import load_events
from rnnexp.monitors.nonfinite import NonFinitePolicy

from .watched import CLIFF, Log, Scaled, Unbounded, train, watch_of


def test_a_refused_gradient_is_kept_as_a_cliff_of_its_own_kind(plugins, tmp_path: Path) -> None:
    callbacks = watch_of(tmp_path, Log())
    with pytest.raises(NonFiniteError):
        train(plugins, tmp_path, callbacks, steps=80, factor=math.inf)
    (event,) = load_events(tmp_path)
    assert (event.step, event.kind) == (CLIFF, "nonfinite")
    assert not math.isfinite(event.raw_norm)
    assert event.loss_before == math.inf, "not that of the step before"
    assert event.batch_seed != 0


class Lines(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.at[step] = metrics


@pytest.mark.parametrize(("factor", "told"), [(math.inf, math.inf), (math.nan, math.nan)])
def test_its_step_has_figures_as_any_other(
    plugins, tmp_path: Path, factor: float, told: float
) -> None:
    lines = Lines()
    with pytest.raises(NonFiniteError):
        train(plugins, tmp_path, watch_of(tmp_path, Log()), 80, factor=factor, logger=lines)
    (event,) = load_events(tmp_path)
    norms = {"grad/raw_norm": event.raw_norm, "grad/cliff": event.raw_norm}
    expected = {"train/loss": told, **norms, "cliffs/count": 1.0}
    assert lines.at[CLIFF] == pytest.approx(expected, nan_ok=True)
    assert max(lines.at) == CLIFF


class Falling(Scaled):
    """After its cliff the loss is finite still, but no float32 holds its gradient."""

    losses: ClassVar[list[float]] = []

    def training_step(self, batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        if self.global_step == CLIFF:  # what is added is zero, and its gradient is not
            bias = self.network.readout.bias
            loss = loss + ((bias - bias.detach()) * 1e30 * 1e30).sum()
        self.losses.append(float(loss.detach()))
        return loss


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_cliff_right_before_a_refused_gradient_is_kept(
    plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    losses: list[float] = []
    monkeypatch.setattr(Falling, "losses", losses)
    callbacks = watch_of(tmp_path, Log())
    with pytest.raises(NonFiniteError, match="gradient norm is inf"):
        train(plugins, tmp_path, callbacks, steps=80, kind=Falling, accumulate=accumulate)
    cliff, refused = load_events(tmp_path)
    told = losses[-accumulate * (1 + TRIED) : -accumulate * TRIED]  # then the control's
    assert (cliff.step, cliff.kind) == (CLIFF, "spike")
    assert cliff.loss_after == pytest.approx(told[0])
    assert (refused.step, refused.kind) == (CLIFF + 1, "nonfinite")
    assert refused.loss_before == pytest.approx(sum(told) / accumulate)
    assert (refused.raw_norm, refused.lr) == (math.inf, 1e-6)
    assert refused.ratio == math.inf
    assert math.isnan(refused.clipped_norm), "it was not clipped"


def test_of_a_refused_loss_the_finite_norm_is_kept(plugins, tmp_path: Path) -> None:
    monitor, watch = watch_of(tmp_path, Log())
    with pytest.raises(NonFiniteError, match="loss is inf"):
        train(plugins, tmp_path, [monitor, watch], steps=80, kind=Unbounded, factor=1000)
    (event,) = load_events(tmp_path)
    assert monitor.summary()["grad/largest_raw_norm"] == event.raw_norm > 100 * event.median
    assert (event.kind, event.loss_before) == ("nonfinite", math.inf)
    assert event.raw_norm == pytest.approx(event.median * event.ratio)
    assert event.cause == "weights", "the losses of the batches before are infinite, too"


@pytest.mark.parametrize("policy", ["skip", "rollback"])
@pytest.mark.parametrize("factor", [1, 1000])
def test_a_loss_that_the_policy_went_past_is_kept_too(
    plugins, tmp_path: Path, policy: NonFinitePolicy, factor: float
) -> None:
    monitor, watch = watch_of(tmp_path, Log(), policy)
    train(plugins, tmp_path, [monitor, watch], steps=80, kind=Unbounded, factor=factor)
    (event,) = load_events(tmp_path)
    assert (event.step, event.kind, event.loss_before) == (CLIFF, "nonfinite", math.inf)
    assert event.raw_norm == pytest.approx(event.median * event.ratio)
    assert event.clipped_norm == 0.0, "it was dropped"


class Refusing(Scaled):
    """Its forward pass refuses a number at one step, as check_finite does."""

    def training_step(self, batch, batch_idx: int) -> Tensor:
        if self.global_step == CLIFF - 1:
            raise NonFiniteError("the state of layer 0 is nan at t=3.")
        return super().training_step(batch, batch_idx)


def test_a_number_that_is_refused_on_the_way_forward_is_told_as_it_was(
    plugins, tmp_path: Path
) -> None:
    lines = Lines()
    with pytest.raises(NonFiniteError, match="at t=3"):
        train(plugins, tmp_path, watch_of(tmp_path, Log()), 80, kind=Refusing, logger=lines)
    (event,) = load_events(tmp_path)
    assert (event.kind, event.group, event.layer) == ("nonfinite", "", None)
    assert math.isnan(event.loss_before), "there is none"
    known = {"grad/cliff": math.nan, "cliffs/count": 1.0}
    assert lines.at[CLIFF] == pytest.approx(known, nan_ok=True)
