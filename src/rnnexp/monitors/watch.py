"""Cliffs, and the flow of the gradient through time, watched at every step of a run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.errors import ConfigError, NonFiniteError
from rnnexp.monitors.cliffs import Cliff
from rnnexp.monitors.cliffs_by_window import WindowedDetector
from rnnexp.monitors.events import FILE, CliffEvent, append_event
from rnnexp.monitors.flow import peak_step
from rnnexp.monitors.flow_record import FlowRecord, Profile
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.groups import dominating, is_reverse, layer_of, split_group
from rnnexp.monitors.passes import Flow, Pass, flow_of, flows_of, peak_of
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
        self.flow = FlowRecord(options.flow_every, options.profile)
        self.count = 0
        self._largest, self._largest_step = 0.0, 0
        self._window_max = 0.0
        self._pending: CliffEvent | None = None
        self._traced_anyway = False
        self._batch: Batch | None = None
        self._scale = 1.0
        self._passes: list[Pass | Flow] = []
        self._place = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See whether a trace costs another backend; forget what a checkpoint does not know."""
        # The event that waits for the loss after it is written once that is known.
        waiting = [] if self._pending is None else [self._pending.step - 1]
        forget_after(self.options.folder / FILE, min([trainer.global_step, *waiting]))
        with trainer.precision_plugin.train_step_context():  # under autocast others may run
            self._traced_anyway = _costs_nothing(_network_of(pl_module))

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ask for traces of this batch, where they cost next to nothing or are wanted."""
        del batch_idx
        self._batch = batch if isinstance(batch, Batch) else None
        before = self._batch.before if self._batch else 0
        wanted = self.flow.wants(trainer.global_step, before) or self._traced_anyway
        layers = _network_of(pl_module).layers if wanted else []
        cast(Any, pl_module).traces = [Trace() for _ in layers]  # what its next step fills
        self._scale = _loss_scale(trainer) if wanted else 1.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Judge the step, and record what is due."""
        del outputs, batch, batch_idx
        self._complete(self.monitor.loss)
        self._note_pass(pl_module)
        if not self.monitor.groups:  # accumulating
            return
        step, latest = trainer.global_step, self.monitor.latest
        raw = latest["grad/raw_norm"]
        passes, self._passes = self._passes, []
        figures = dict(self.monitor.news)
        figures |= {f"grad/{group}": norm for group, norm in self.monitor.groups.items()}
        figures |= self.flow.finish(step)
        cliff = self._judge(step, latest)
        if cliff is not None:
            self._note(cliff, passes, latest)
            figures |= {"grad/cliff": raw, "cliffs/count": float(self.count)}
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
            cliff = self._judge(trainer.global_step + 1, refused)
            if cliff is not None:
                self._note(cliff, self._passes, refused)
            self._log_last_peak(trainer)
        self._complete(None)

    def summary(self) -> dict[str, float]:
        """Sum the run up: how many cliffs, the largest of a finite norm, and its step."""
        largest = {"cliffs/largest": self._largest, "cliffs/largest_step": self._largest_step}
        return {"cliffs/count": float(self.count), **(largest if self._largest else {})}

    def state_dict(self) -> dict[str, Any]:
        """Keep what was learned of the norms, and the counts, over a resume."""
        counts = {"count": self.count, "largest": self._largest, "step": self._largest_step}
        pending = None if self._pending is None else self._pending.to_json()
        passes = [asdict(flow_of(each)) for each in self._passes]  # of a step that is half done
        rest = {"window": self._window_max, "pending": pending, "passes": passes}
        parts = {"detector": self.detector.state_dict(), "flow": self.flow.state_dict()}
        return {**counts, **rest, **parts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them."""
        self.count, self._largest = int(state_dict["count"]), float(state_dict["largest"])
        self._largest_step, self._window_max = int(state_dict["step"]), float(state_dict["window"])
        pending = state_dict["pending"]
        self._pending = None if pending is None else CliffEvent.from_json(pending)
        self.detector.load_state_dict(state_dict["detector"])
        if "flow" in state_dict:  # older checkpoints have none
            self.flow.load_state_dict(state_dict["flow"])
        self._passes = [Flow(**each) for each in state_dict.get("passes", ())]

    def count_anew(self) -> None:
        """Forget the cliffs of another run, not what norms are usual for its weights."""
        self.count, self._largest, self._largest_step = 0, 0.0, 0
        self._window_max, self._pending = 0.0, None

    def _note_pass(self, pl_module: LightningModule) -> None:
        if self._batch is not None:
            traces: list[Trace] = getattr(pl_module, "traces", [])
            directions = _network_of(pl_module).directions
            self._passes.append(Pass(self._batch, traces, directions, self._scale))
            self.flow.note(self._passes[-1])
            self._place = self._batch.before
            self._batch = None

    def _judge(self, step: int, figures: Mapping[str, float]) -> Cliff | None:
        norm = figures.get("grad/raw_norm", math.nan)
        loss = figures.get("train/loss", math.nan)
        # A loss that is not finite may have a gradient that is.
        seen = math.nan if math.isfinite(norm) and not math.isfinite(loss) else norm
        cliff = self.detector.observe(step, seen, self._place)
        return None if cliff is None else replace(cliff, norm=norm, ratio=norm / cliff.median)

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
        self, cliff: Cliff, passes: Sequence[Pass | Flow], latest: Mapping[str, float]
    ) -> None:
        self.count += 1
        if math.isfinite(cliff.norm) and cliff.norm > self._largest:
            self._largest, self._largest_step = cliff.norm, cliff.step
        kind, cell = split_group(dominating(self.monitor.groups))
        flow = max(flows_of(passes), key=lambda flow: flow.peak, default=None)
        profile = _profile_of(flow, cell)
        begin = flow.begin if flow else 0
        self._pending = CliffEvent(
            step=cliff.step,
            kind=cliff.kind,
            loss_before=latest.get("train/loss", math.nan),
            loss_after=None,
            raw_norm=cliff.norm,
            clipped_norm=latest.get("grad/clipped_norm", math.nan),
            median=cliff.median,
            ratio=cliff.ratio,
            group=kind,
            layer=layer_of(cell),
            time_step=begin + peak_step(profile) + 1 if len(profile) else None,
            grad_norm_T=tuple(profile),
            lr=latest.get("train/lr", math.nan),
            batch_seed=flow.seed if flow else next((p.seed for p in reversed(passes)), 0),
            reverse=is_reverse(cell),
            begin=begin,
        )

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


def _profile_of(flow: Flow | None, cell: str) -> Sequence[float]:
    """Give the norms of a cell; of the one with the largest where the readout dominates.

    Of several with norms that are not finite it is the upper one, which is nearer to the loss.
    """
    if flow is None:
        return ()
    norms = flow.norms
    return norms.get(cell) or norms[max(norms, key=lambda c: (peak_of(norms[c]), layer_of(c)))]


def _loss_scale(trainer: Trainer) -> float:
    # Of float16, whose gradients would vanish for lack of numbers.
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return 1.0 if scaler is None else float(scaler.get_scale())
