"""Back-propagation through time as a LightningModule; clipping is left to Lightning."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rnnexp.recurrence import Feed, FeedMode, NetworkState, RecurrentNetwork, Schedule, Trace
from rnnexp.tasks import Batch, Split, Task
from rnnexp.tasks.record import loss_of, metrics_of
from rnnexp.tasks.stream import joined, windows_of
from rnnexp.tracking import FREE
from rnnexp.training.accumulate import batches_of_step
from rnnexp.training.schedule_length import keep_length
from rnnexp.training.team import all_rows, own_rows

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler]


@dataclass(frozen=True)
class Recipe:
    """How the parameters move.

    Args:
        make_optimizer: makes the optimizer over the trainable parameters.
        make_scheduler: makes the learning-rate schedule, advanced at every step; None for none.
        feed_mode: what is fed back in training where the model's output is part of its input.
        schedule: share of targets over training, under ``scheduled``.
    """

    make_optimizer: MakeOptimizer
    make_scheduler: MakeScheduler | None = None
    feed_mode: FeedMode = "teacher"
    schedule: Schedule = field(default_factory=Schedule)

    def feed(self, step: int) -> Feed:
        """Say what is fed back at an optimizer step."""
        if self.feed_mode == "scheduled":
            return Feed.scheduled(self.schedule.share(step))
        return Feed(self.feed_mode)


class RecurrentModule(LightningModule):
    """Unroll, compare with the targets, back-propagate through the unrolled time.

        L = task.loss(network(x_1..x_T), targets);    dL/dtheta by BPTT over the window

    Args:
        network: what is trained.
        task: judges the outputs.
        recipe: optimizer, schedule and feeding.
        window: steps at a time in evaluation, and in training on the way to targets that stand at
            the end, so that memory does not grow with T; None for all.
    """

    def __init__(
        self, network: RecurrentNetwork, task: Task, recipe: Recipe, window: int | None = None
    ) -> None:
        super().__init__()
        self.window = window
        self.network = network
        self.task = task
        self.recipe = recipe
        self.traces: list[Trace] = []
        self.nothing_to_clip = False
        """Set by who has measured the gradient before each step: clipping would not change it."""
        self.huge_norm: float | None = None
        """Set likewise: of a gradient whose norm Lightning, in float32, would find infinite."""
        self.first_batch = 0
        """Set where training goes on with steps of other batches: with which they begin."""
        self._carried: dict[str, NetworkState | None] = {}
        self._schedule_made: dict[str, Any] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; that in which Lightning notes its hook, 50 times a step, the short way.

        The long way looks each time whether the name of the hook is a parameter or a module.
        """
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network."""
        return self.network(*args, **kwargs)

    def on_train_start(self) -> None:
        """Move what a checkpoint brought to the weights' device; a schedule keeps its length."""
        kept = self._carried.get("train")
        if kept is not None:
            self._carried["train"] = kept.to(self.device)
        for config in self.trainer.lr_scheduler_configs:
            keep_length(cast(LRScheduler, config.scheduler), self._schedule_made)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch; its windows without targets only carry the state on."""
        del batch_idx
        feed = self.recipe.feed(self.global_step)
        judged = self._carry_to_targets(batch, feed)
        outputs = self._run(judged, "train", feed, self.traces)
        return loss_of(self.task, outputs, judged.targets)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Back-propagate the share that the loss of a batch has in its step.

        Lightning has divided it by the batches of a full step; the last step of an epoch may have
        fewer.
        """
        full, size = self.trainer.accumulate_grad_batches, batches_of_step(self.trainer)
        super().backward(loss if size == full else loss * (full / size), *args, **kwargs)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the loss and metrics of the validation split."""
        del batch_idx
        self._evaluate(batch, "val")

    def on_validation_end(self) -> None:
        """Log the means of the validation split at the number of steps done."""
        means = {k: float(v) for k, v in self.trainer.callback_metrics.items() if k[:4] == "val/"}
        if self.logger is not None:
            self.logger.log_metrics(means, step=self.trainer.global_step)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the loss and metrics of the test split, at the task's length and at unseen ones."""
        del batch_idx
        self._evaluate(batch, "test", self._length_suffix(dataloader_idx))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Give the outputs; where they are fed back, of the network running free."""
        del batch_idx
        return self._run_in_windows(batch, "predict", Feed.free())

    def configure_optimizers(self) -> Any:
        """Make the optimizer, and the schedule if there is one."""
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = self.recipe.make_optimizer(trained)
        if self.recipe.make_scheduler is None:
            return optimizer
        schedule = self.recipe.make_scheduler(optimizer)
        self._schedule_made = schedule.state_dict()
        each_step = {"scheduler": schedule, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": each_step}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does, unless it is known that nothing would change.

        A gradient that is divided by a norm of infinity would be zero.
        """
        if self.nothing_to_clip:
            return
        if self.huge_norm is not None and gradient_clip_algorithm == "norm":
            norm = torch.tensor(self.huge_norm, dtype=torch.float64)
            nn.utils.clip_grads_with_norm_(self.parameters(), gradient_clip_val or 0.0, norm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state that a resumed run goes on from, as plain tensors."""
        carried = self._carried.get("train")
        if carried is not None:
            whole = carried.map(all_rows)
            checkpoint["carried"] = {"layers": whole.layers, "fed_back": whole.fed_back_BO}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the state that was carried."""
        kept = checkpoint.get("carried")
        if kept is not None:
            layers = tuple(tuple(state) for state in kept["layers"])
            self._carried["train"] = NetworkState(layers, kept["fed_back"]).map(own_rows)

    def forget_carried_state(self) -> None:
        """Let training begin afresh: what comes next is no continuation."""
        self._carried.pop("train", None)

    def forget_lost_state(self) -> None:
        """Let rows of the carried state that are not finite begin afresh: no later step would."""
        carried = self._carried.get("train")
        tensors = [] if carried is None else carried.tensors()
        if carried is None or not tensors:  # a cell need not have a state
            return
        whole_B = torch.stack([s.isfinite().flatten(1).all(1) for s in tensors]).all(0)

        def kept(rows_B: Tensor) -> Tensor:
            return rows_B.where(whole_B.view(-1, *[1] * (rows_B.dim() - 1)), 0.0)

        self._carried["train"] = carried.map(kept)

    def carried_state(self) -> NetworkState | None:
        """Give the state that a next batch of training goes on from, if it is no fresh one."""
        return self._carried.get("train")

    def carry(self, state: NetworkState | None) -> None:
        """Have the next batch of training go on from a state."""
        self._carried["train"] = state

    @contextmanager
    def keeping_state(self) -> Generator[None]:
        """Put the carried states back at the end of the block, so that a batch can be run again."""
        kept = dict(self._carried)
        try:
            yield
        finally:
            self._carried = kept

    def _carry_to_targets(self, batch: Batch, feed: Feed) -> Batch:
        # A window without a loss is no step of the optimizer's: momentum, schedule and step count
        # are to know nothing of it. So Lightning sees the sequence as one batch, with one loss.
        if self.network.readout_at == "every_step":
            return batch
        *before, judged = windows_of(batch, self.window, "last")
        with torch.no_grad():
            for window in before:
                self._run(window, "train", feed)
        return judged

    def _run_in_windows(self, batch: Batch, stream: str, feed: Feed) -> Tensor:
        # Evaluation looks at whole sequences, whose hidden states need not stand in memory at once.
        pattern = self.network.readout_at
        windows = windows_of(batch, self.window, pattern)
        outputs = (self._run(window, stream, feed) for window in windows)
        if pattern == "every_step":
            return joined(outputs, len(batch.inputs_TBI))
        *_, last_BO = outputs
        return last_BO

    def _run(self, batch: Batch, stream: str, feed: Feed, traces: Sequence[Trace] = ()) -> Tensor:
        state = None if batch.fresh else self._carried.get(stream)
        fed_TBO = self._targets_as_inputs(batch)
        outputs, last = self.network(
            batch.inputs_TBI, state, targets_TBO=fed_TBO, feed=feed, traces=traces
        )
        self._carried[stream] = last.detach()
        return outputs

    def _targets_as_inputs(self, batch: Batch) -> Tensor | None:
        if not self.network.feedback:
            return None
        return self.task.encode_target(batch.targets).to(batch.inputs_TBI.dtype)

    def _length_suffix(self, dataloader_idx: int) -> str:
        # The lengths are named as they were asked for: a sequence may have more steps than its T.
        if dataloader_idx == 0:
            return ""
        return f"_T{self.task.test_tasks()[dataloader_idx - 1].stated_length}"

    def _evaluate(self, batch: Batch, split: Split, length: str = "") -> None:
        self._evaluate_fed(batch, split, length, Feed.teacher())
        if self.network.feedback:
            # Running free shows what the network does when it must live with its errors.
            # Of what only is the past of the rest, the truth is known.
            feed = Feed.teacher() if batch.spare else Feed.free()
            self._evaluate_fed(batch, split, length + FREE, feed)

    def _evaluate_fed(self, batch: Batch, split: Split, suffix: str, feed: Feed) -> None:
        outputs = self._run_in_windows(batch, split + suffix, feed)
        loss = loss_of(self.task, outputs, batch.targets)
        figures = {"loss": loss, **metrics_of(self.task, outputs, batch.targets)}
        baseline = self.task.baseline_of(split) if suffix in ("", FREE) else None
        if baseline:
            figures["loss_relative"] = loss / baseline
        self._log_means(batch, {f"{split}/{name}{suffix}": v for name, v in figures.items()})

    def _log_means(self, batch: Batch, figures: dict[str, Tensor]) -> None:
        weight = 0 if batch.spare else self.task.weight_of(batch)
        if weight == 0:  # a mean of nothing may be NaN, and so is 0 times NaN
            figures = {name: torch.zeros_like(value) for name, value in figures.items()}
        processes = self.trainer.world_size
        self.log_dict(
            figures,
            # Lightning averages the weights over the processes and cuts off what is no whole number
            batch_size=weight * processes,
            add_dataloader_idx=False,
            sync_dist=processes > 1,
            logger=False,  # Lightning would log them at the step before; see on_validation_end
        )
