"""Raw and clipped gradient norms of every optimizer step."""

import math
import time
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from rnnexp.monitors.groups import GroupNorms, total
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.tasks.stream import BatchStream

# A clipped norm differs from the threshold by rounding; one this close to raw was not clipped.
_SAME = 1e-5
_HUGE = 1e19
"""Larger norms have squares that float32 cannot hold."""
_SHARE_EVERY = 10
"""Steps between two records of the share of clipped steps, which changes slowly."""


class StepMonitor(Callback):
    """Record, at every optimizer step, loss, raw and clipped norm, and hold the non-finite policy.

    Lightning calls back before it clips, and leaves the clipped gradients in place until the next
    backward pass: both norms are measured, none is computed from the threshold. A gradient that
    lies below the threshold is not clipped, as `RecurrentModule` is told, hence not measured twice.

    Args:
        guard: decides what happens at a loss or gradient that is not finite.
    """

    def __init__(self, guard: NonFiniteGuard) -> None:
        self.guard = guard
        self.logs = True
        """Whether it logs `news`; one who adds figures to those of the step does so instead."""
        self.latest: dict[str, float] = {}
        self.news: dict[str, float] = {}
        """Those of the latest that go on record: not a rate that stays as it was."""
        self.loss: float | None = None
        """Of the latest batch, all processes' rows of it; None before the first."""
        self._losses: list[float] = []
        self.groups: dict[str, float] = {}
        self._groups: GroupNorms | None = None
        self._steps = 0
        self._clipped = 0
        self._largest = 0.0
        self._raw: float | None = None
        self._stands, self._untouched = True, False
        self._settings: dict[str, float] = {}
        """What the step is made with and a schedule may change."""
        self._on_record: dict[str, float] = {}
        self._loss = 0.0
        self.judged = 0.0
        """Loss of the latest step: of a batch for which it is not finite, if there is any."""
        self._since = time.perf_counter()
        self._last_step = 0
        self._stream: BatchStream | None = None
        self._sequences_before: float | None = None
        """Those that a checkpoint knew of: a run that is over trains no more when it goes on."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count steps per second; have steps made with the rate the policy leaves."""
        if getattr(pl_module, "first_batch", 0):  # a step that was half done is dropped
            self._losses = []
        self.guard.watch(trainer.optimizers[0])
        # There is none on a CPU, where Lightning takes bf16 for 16-mixed.
        self.guard.scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        self._since, self._last_step = time.perf_counter(), trainer.global_step
        stream = trainer.train_dataloader  # Lightning forgets it before a run is summed up
        self._stream = stream if isinstance(stream, BatchStream) else None

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Note a loss that is not finite, of any of the batches that make up a step."""
        del pl_module
        if math.isfinite(self._loss):
            self._loss = _shared(trainer, loss)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure the raw norm, before Lightning clips."""
        self.groups = self.norms_of(pl_module).measure()
        self._raw = total(self.groups)
        self.judged, self._loss = self._loss, 0.0
        step = trainer.global_step
        # The schedules move on before the batch ends.
        self._settings = {"train/lr": self.guard.rate.of(optimizer), **_share(pl_module, step)}
        self._stands = self.guard.before_step(self._raw, step, pl_module, optimizer, self.judged)
        self._untouched = self._stands and _lies_below(self._raw, trainer.gradient_clip_val)
        module = cast(Any, pl_module)
        module.nothing_to_clip = self._untouched or not self._stands
        module.huge_norm = self._raw if _HUGE < self._raw < math.inf else None
        if not self._stands:
            _forget_lost_state(pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Measure the clipped norm and hand everything to the logger."""
        del batch, batch_idx
        # Lightning has divided it, so that the gradients of the step's batches add up to a mean.
        self.loss = _shared(trainer, outputs["loss"]) * trainer.accumulate_grad_batches
        self._losses.append(self.loss)
        if self._raw is None:  # accumulating
            self.groups = {}
            return
        losses, self._losses = self._losses, []
        loss = sum(losses) / len(losses)
        self.latest = {"train/loss": loss, **self._norms(pl_module, self._raw), **self._settings}
        self._add_rate(trainer.global_step)
        self.news = self._new_at(trainer.global_step)
        if self.logs and trainer.logger is not None:
            trainer.logger.log_metrics(self.news, step=trainer.global_step)
        self._raw = None

    def refused(self, trainer: Trainer) -> dict[str, float]:
        """Give the figures of a step that was refused and ended the run; none of another end.

        Its norm counts for the largest one, as it stands on record.
        """
        if self._raw is None:
            return {}
        self._note_size(self._raw)
        losses = [*self._losses, self.judged * trainer.accumulate_grad_batches]
        loss = sum(losses) / len(losses)
        return {"train/loss": loss, **self._settings, "grad/raw_norm": self._raw}

    def summary(self) -> dict[str, float]:
        """Sum the run up: largest raw norm, share of clipped steps, what the policy did, data."""
        made, seen = self._steps > 0, self._steps > 0 or self._largest > 0
        return {
            **({"grad/largest_raw_norm": self._largest} if seen else {}),
            **({"grad/clipped_fraction": self._clipped / self._steps} if made else {}),
            "grad/skipped": float(self.guard.skipped),
            "grad/rollbacks": float(self.guard.rollbacks),
            **({} if self._sequences is None else {"train/sequences": self._sequences}),
        }

    @property
    def _sequences(self) -> float | None:
        return self._sequences_before if self._stream is None else self._stream.sequences

    def state_dict(self) -> dict[str, Any]:
        """Keep the counts over a resume, and what is known of a step that is half done."""
        counts = {"steps": self._steps, "clipped": self._clipped, "largest": self._largest}
        told = {"on_record": dict(self._on_record), "sequences": self._sequences}
        return {**counts, **told, "losses": list(self._losses), "guard": self.guard.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the counts."""
        self._steps, self._clipped = int(state_dict["steps"]), int(state_dict["clipped"])
        self._largest = float(state_dict["largest"])
        self._on_record = dict(state_dict.get("on_record", {}))
        self._sequences_before = state_dict.get("sequences")
        self._losses = list(state_dict.get("losses", ()))
        self.guard.load_state_dict(state_dict["guard"])

    def count_anew(self) -> None:
        """Forget the counts that came with another run's checkpoint; its lowered rate stays."""
        self._steps = self._clipped = 0
        self._largest, self._on_record, self._sequences_before = 0.0, {}, None
        self.guard.skipped = self.guard.rollbacks = 0

    def _norms(self, pl_module: LightningModule, raw: float) -> dict[str, float]:
        clipped = raw if self._untouched else self.norms_of(pl_module).total()
        self._steps += 1
        if math.isfinite(raw):
            self._clipped += self._stands and clipped < raw * (1 - _SAME)
        self._note_size(raw)
        return {
            "grad/raw_norm": raw,
            "grad/clipped_norm": clipped,
            "grad/clipped_fraction": self._clipped / self._steps,
        }

    def _note_size(self, raw: float) -> None:
        if math.isfinite(raw):  # another has no size
            self._largest = max(self._largest, raw)

    def _new_at(self, step: int) -> dict[str, float]:
        # Each point of a record costs the store as much as any other.
        known = {key for key, value in self._settings.items() if self._on_record.get(key) == value}
        self._on_record = self._settings
        if step % _SHARE_EVERY:
            known.add("grad/clipped_fraction")
        return {key: value for key, value in self.latest.items() if key not in known}

    def norms_of(self, pl_module: LightningModule) -> GroupNorms:
        """Give what measures the norms of a module: of its network, and of what is beside it."""
        if self._groups is None:
            self._groups = GroupNorms(pl_module)
        return self._groups

    def _add_rate(self, step: int) -> None:
        now = time.perf_counter()
        if now - self._since >= 1.0:
            self.latest["time/steps_per_second"] = (step - self._last_step) / (now - self._since)
            self._since, self._last_step = now, step


def _lies_below(norm: float, threshold: float | None) -> bool:
    # Then clipping changes nothing, be it by norm or by value: no value is larger than the norm.
    # Lightning's own norm differs from this one by rounding.
    if threshold is None:
        return math.isfinite(norm)
    return norm < threshold * (1 - _SAME)


def _share(pl_module: LightningModule, step: int) -> dict[str, float]:
    """Give the share of targets that is fed back under scheduled sampling."""
    recipe = getattr(pl_module, "recipe", None)
    feed = None if recipe is None else recipe.feed(step)
    if feed is None or feed.mode != "scheduled":
        return {}
    return {"train/teacher_share": feed.teacher_share}


def _forget_lost_state(pl_module: LightningModule) -> None:
    # A state that a module carries to its next batch may be what the gradient was refused for.
    forget = getattr(pl_module, "forget_lost_state", None)
    if forget is not None:
        forget()


def _shared(trainer: Trainer, loss: Tensor) -> float:
    # Each process has the mean over its rows, as many as the others have.
    if trainer.world_size == 1:
        return float(loss.detach())
    return float(trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean"))
