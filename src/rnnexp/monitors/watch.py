"""Cliffs, and the flow of the gradient through time, watched at every step of a run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from rnnexp.errors import ConfigError, NonFiniteError
from rnnexp.files import CLIFFS
from rnnexp.monitors.cliffs import Cliff
from rnnexp.monitors.cliffs_by_window import WindowedDetector
from rnnexp.monitors.control import Begun, control_norms, loss_scale
from rnnexp.monitors.events import CliffEvent, append_event
from rnnexp.monitors.flow_record import FlowRecord, Profile
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.groups import total
from rnnexp.monitors.located import Step, locate
from rnnexp.monitors.passes import Flow, Pass, flow_of
from rnnexp.monitors.usual import Usual
from rnnexp.recurrence import RecurrentNetwork, Trace, choose_backend
from rnnexp.tasks import Batch
from rnnexp.tracking.journal import forget_after


@dataclass(frozen=True)
class WatchOptions:
    """What is watched, and where it goes.

    Args:
        folder: the run's folder, for ``cliffs.jsonl``.
        profile: takes the norms over time.
        flow_every: steps between two records of the flow; None for none.
        window: steps of which the largest raw norm is logged, so that a chart with few points
            shows every cliff.
    """

    folder: Path
    profile: Profile
    flow_every: int | None = 10
    window: int = 10


@dataclass(frozen=True)
class Found:
    """A cliff that has no event yet, and its control.

    Args:
        cliff: what the detector has told.
        control_norms: of other batches with the same weights.
    """

    cliff: Cliff
    control_norms: tuple[float, ...]


class CliffWatch(Callback):
    """Find cliffs in the raw norms, locate them in time, and record the flow of the gradient.

    Stands behind the `StepMonitor`, which measures the norms.

    Args:
        monitor: has the latest figures.
        options: what is watched.
        detector: decides what is a cliff.
    """

    def __init__(
        self, monitor: StepMonitor, options: WatchOptions, detector: WindowedDetector | None = None
    ) -> None:
        self.monitor = monitor
        monitor.logs = False  # one record a step, with the figures of both
        self.options = options
        self.detector = detector or WindowedDetector()
        self.usual = Usual()
        self.flow = FlowRecord(options.flow_every, options.profile, self._note_usual)
        self.count = 0
        self._largest, self.largest_step = 0.0, 0
        self._window_max = 0.0
        self._found: Found | None = None
        self._pending: CliffEvent | None = None
        self._traced_anyway = False
        self._batch: Batch | None = None
        self._scale = 1.0
        self._passes: list[Pass | Flow] = []
        self._carried: tuple[Any, bool] = (None, False)
        self._place = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See whether a trace costs another backend; forget what a checkpoint does not know."""
        if getattr(pl_module, "first_batch", 0):  # a step that was half done is dropped
            self._passes = []
            self.flow.drop()
        # The event that waits for the loss after it is written once that is known.
        waiting = [] if self._pending is None else [self._pending.step - 1]
        forget_after(self.options.folder / CLIFFS, min([trainer.global_step, *waiting]))
        with trainer.precision_plugin.train_step_context():  # under autocast others may run
            self._traced_anyway = _costs_nothing(_network_of(pl_module))

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ask for traces of this batch, where they cost next to nothing or are wanted."""
        del batch_idx
        self._batch = batch if isinstance(batch, Batch) else None
        if not self._passes:
            self._carried = cast(Any, pl_module).carried_state(), True
        self._place = self._batch.before if self._batch else 0
        recorded = self.flow.wants(trainer.global_step, self._place)
        wanted = recorded or self._traced_anyway
        layers = _network_of(pl_module).layers if wanted else []
        # What its next step fills.
        cast(Any, pl_module).traces = [Trace(follows_last=recorded) for _ in layers]
        self._scale = loss_scale(trainer) if wanted else 1.0

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Judge the step while the weights are there that it is made with."""
        del optimizer
        self._judge(trainer, pl_module, total(self.monitor.groups), self.monitor.judged)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record what is due."""
        del outputs, batch, batch_idx
        self._complete(self.monitor.loss)
        self._note_pass(pl_module)
        if not self.monitor.groups:  # accumulating
            return
        step, latest = trainer.global_step, self.monitor.latest
        raw = latest["grad/raw_norm"]
        passes, self._passes = self._passes, []
        figures = self.monitor.news
        figures |= {f"grad/{group}": norm for group, norm in self.monitor.groups.items()}
        if self._found is not None:
            self._note(self._found, passes, latest)
            figures |= self._told(raw)
        figures |= self.flow.finish(step)
        self.usual.note_loss(latest["train/loss"])
        figures |= self._widest(step, raw)
        self.monitor.groups = {}
        if trainer.logger is not None:
            trainer.logger.log_metrics(figures, step=step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last event, which no step follows, and the peak since the last one logged."""
        del pl_module
        self._complete(None)
        self._log_last_peak(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write the last event before the run ends; a gradient that was refused is one too."""
        if isinstance(exception, NonFiniteError):
            refused = self.monitor.refused(trainer)
            self._complete(refused.get("train/loss"))
            self._note_pass(pl_module)
            self._note_refused(trainer, pl_module, refused)
            self._log_last_peak(trainer)
        self._complete(None)

    def summary(self) -> dict[str, float]:
        """Sum the run up: how many cliffs, the largest of a finite norm, and its step."""
        largest = {"cliffs/largest": self._largest, "cliffs/largest_step": self.largest_step}
        return {"cliffs/count": float(self.count), **(largest if self._largest else {})}

    def state_dict(self) -> dict[str, Any]:
        """Keep what was learned of the norms, and the counts, over a resume."""
        counts = {"count": self.count, "largest": self._largest, "step": self.largest_step}
        pending = None if self._pending is None else self._pending.to_json()
        passes = [asdict(flow_of(each)) for each in self._passes]  # of a step that is half done
        rest = {"window": self._window_max, "pending": pending, "passes": passes}
        seen = {"flow": self.flow.state_dict(), "usual": self.usual.state_dict()}
        return {**counts, **rest, "detector": self.detector.state_dict(), **seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them."""
        self.count, self._largest = int(state_dict["count"]), float(state_dict["largest"])
        self.largest_step, self._window_max = int(state_dict["step"]), float(state_dict["window"])
        pending = state_dict["pending"]
        self._pending = None if pending is None else CliffEvent.from_json(pending)
        self.detector.load_state_dict(state_dict["detector"])
        if "flow" in state_dict:  # older checkpoints have none
            self.flow.load_state_dict(state_dict["flow"])
        if "usual" in state_dict:
            self.usual.load_state_dict(state_dict["usual"])
        self._passes = [Flow(**each) for each in state_dict.get("passes", ())]

    def count_anew(self) -> None:
        """Forget the cliffs of another run, not what norms are usual for its weights."""
        self.count, self._largest, self.largest_step = 0, 0.0, 0
        self._window_max, self._pending = 0.0, None

    def _note_pass(self, pl_module: LightningModule) -> None:
        if self._batch is not None:
            traces: list[Trace] = getattr(pl_module, "traces", [])
            directions = _network_of(pl_module).directions
            self._passes.append(Pass(self._batch, traces, directions, self._scale))
            self.flow.note(self._passes[-1])
            self._batch = None

    def _note_usual(self, step: int, flows: Sequence[Flow]) -> None:
        if self.detector.course == "calm":
            self.usual.note_flow(step, flows)

    def _note_refused(
        self, trainer: Trainer, pl_module: LightningModule, refused: Mapping[str, float]
    ) -> None:
        figures = {key: refused[key] for key in ("train/loss", "grad/raw_norm") if key in refused}
        loss, norm = (refused.get(key, math.nan) for key in ("train/loss", "grad/raw_norm"))
        self._judge(trainer, pl_module, norm, loss)
        if self._found is not None:
            self._note(self._found, self._passes, refused)
            figures |= self._told(norm)
        self.monitor.news |= figures
        if trainer.logger is not None:
            trainer.logger.log_metrics(figures, step=trainer.global_step + 1)

    def _told(self, norm: float) -> dict[str, float]:
        return {"grad/cliff": norm, "cliffs/count": float(self.count)}

    def _judge(
        self, trainer: Trainer, pl_module: LightningModule, norm: float, loss: float
    ) -> None:
        # A loss that is not finite may have a gradient that is.
        seen = math.nan if math.isfinite(norm) and not math.isfinite(loss) else norm
        cliff = self.detector.observe(trainer.global_step + 1, seen, self._place)
        if cliff is not None:
            cliff = replace(cliff, norm=norm, ratio=norm / cliff.median)
            self._found = Found(cliff, self._control_norms(trainer, pl_module, seen))

    def _widest(self, step: int, raw: float) -> dict[str, float]:
        self._window_max = max(self._window_max, raw)
        if step % self.options.window:
            return {}
        widest, self._window_max = self._window_max, 0.0
        return {"grad/raw_norm_max": widest}

    def _log_last_peak(self, trainer: Trainer) -> None:
        if self._window_max and trainer.logger is not None:
            peak = {"grad/raw_norm_max": self._window_max}
            trainer.logger.log_metrics(peak, step=trainer.global_step)
        self._window_max = 0.0

    def _note(
        self, found: Found, passes: Sequence[Pass | Flow], latest: Mapping[str, float]
    ) -> None:
        self.count += 1
        cliff = found.cliff
        if math.isfinite(cliff.norm) and cliff.norm > self._largest:
            self._largest, self.largest_step = cliff.norm, cliff.step
        step = Step(latest, self.monitor.groups, passes, found.control_norms)
        self._pending = locate(cliff, step, self.usual)
        self._found = None

    def _control_norms(
        self, trainer: Trainer, pl_module: LightningModule, seen: float
    ) -> tuple[float, ...]:
        if not math.isfinite(seen) and self.monitor.guard.policy == "rollback":
            return ()  # the weights are others already
        done = len(self._passes) + (self._batch is not None)
        begun = Begun(done, *self._carried)
        return control_norms(trainer, pl_module, self.monitor.norms_of(pl_module), begun)

    def _complete(self, loss_after: float | None) -> None:
        if self._pending is not None:
            append_event(self.options.folder, replace(self._pending, loss_after=loss_after))
            self._pending = None


def _network_of(pl_module: LightningModule) -> RecurrentNetwork:
    network = pl_module.network
    assert isinstance(network, RecurrentNetwork)
    return network


def _costs_nothing(network: RecurrentNetwork) -> bool:
    try:
        return all(
            choose_backend(cell, network.backend) == choose_backend(cell, network.backend, "norms")
            for cell in network.layers
        )
    except ConfigError:  # the backend that was asked for shows no gradients
        return False
