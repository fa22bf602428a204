"""Checkpoints from which a run goes on as if nothing had happened.

They are taken at one kind of moment only: when a training batch has been fetched and nothing has
been done with it. Then the step before it, its validation included, is complete. Lightning counts
the fetched batch already; the checkpoint says that it is still to come.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rnnexp.training.randomness import random_states, restore_random_states
from rnnexp.training.team import from_all, mean_over_all, rank_and_size, word_of_first

SECONDS_BETWEEN = 1.0
"""A checkpoint costs milliseconds; validations that follow one another closely share one."""


def goes_on(trainer: Trainer, resume: str | None) -> bool:
    """Tell whether the run of a checkpoint goes on, or a new one begins with its weights.

    Args:
        trainer: whose fit begins with the checkpoint.
        resume: of the config: a run that it names goes on, in another folder, too; a checkpoint
            file of another folder starts a new one.
    """
    names_a_run = resume is not None and not Path(resume).is_file()
    run = Path(str(trainer.ckpt_path)).resolve().parent.parent
    return names_a_run or run == Path(trainer.default_root_dir).resolve()


class ResumePoint(Callback):
    """Save after validations what an exact continuation needs beside Lightning's own state.

    Lightning keeps weights, optimizer, schedule, loop counters and callbacks. Added here: the
    states of all random generators, gradients in the middle of an accumulation, the latest
    validation figures, and whether training was over before its last step: Lightning would take
    that up again.

    Args:
        checkpoint: where to save.
        limits: what says when training is over; under other limits a run that was over goes on.
        resume: of the config.
        seconds_between: a checkpoint that is due waits until the last one is so old.
    """

    def __init__(
        self,
        checkpoint: Path,
        limits: str = "",
        resume: str | None = None,
        seconds_between: float = SECONDS_BETWEEN,
    ) -> None:
        self.checkpoint = checkpoint
        self.limits = limits
        self.resume = resume
        self.seconds_between = seconds_between
        self.figures: dict[str, float] = {}
        self._due = False
        self._before_batch = False
        self._goes_on = False
        self._saved = time.monotonic()
        self._states: dict[str, Any] | None = None
        self._gradients: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the generators: later hooks come after the first draws."""
        del trainer, pl_module
        if self._states is not None:
            restore_random_states(self._states)
            self._states = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the gradients of a step that was begun."""
        del trainer
        for name, gradient in self._gradients.items():
            pl_module.get_parameter(name).grad = gradient.to(pl_module.device)
        self._gradients = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have the next batch begin with a checkpoint."""
        del pl_module
        figures = trainer.callback_metrics.items()
        self.figures = {key: float(value) for key, value in figures if key.startswith("val/")}
        self._due = not trainer.sanity_checking

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save if a checkpoint is due."""
        del pl_module, batch, batch_idx
        if self._goes_on:
            _count_logged_steps(trainer)
            self._goes_on = False
        # Saving needs all processes of a run, whose clocks differ.
        old = time.monotonic() - self._saved >= self.seconds_between
        if self._due and word_of_first(trainer, old):
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save now; called between the fetching of a training batch and its use."""
        self._before_batch = True
        try:
            trainer.save_checkpoint(self.checkpoint)
        finally:
            self._before_batch = False
        self._due, self._saved = False, time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Keep the generators, of all processes, and the latest figures."""
        first, *others = from_all(random_states())
        return {"random": first, "others": others, "figures": self.figures}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back; the generators are set when the fit starts."""
        rank, _ = rank_and_size()
        kept = [state_dict["random"], *state_dict.get("others", ())]
        # One that was not there before has draws of its own to begin with.
        self._states = kept[rank] if rank < len(kept) else None
        self.figures = dict(state_dict["figures"])

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add gradients in the middle of an accumulation; count the fetched batch as to come.

        Where none was fetched, training may be over: say so.
        """
        checkpoint["accumulate"] = trainer.accumulate_grad_batches
        if not self._before_batch:
            if trainer.should_stop:
                checkpoint["ended_by"] = self.limits
            return
        loop = checkpoint["loops"]["fit_loop"]
        _put_back(loop)
        done = loop["epoch_loop.batch_progress"]["current"]["completed"]
        if done % trainer.accumulate_grad_batches:
            named = pl_module.named_parameters()
            begun = {n: p.grad for n, p in named if p.grad is not None}
            means = mean_over_all(list(begun.values()))
            checkpoint["gradients"] = dict(zip(begun, means, strict=True))

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the gradients back; train no more where this very run was over."""
        loop = checkpoint["loops"]["fit_loop"]
        accumulate = trainer.accumulate_grad_batches
        then = checkpoint.get("accumulate", accumulate), _amid_step(loop, trainer)
        if anew := _begins_a_sequence(loop, trainer):
            cast(Any, pl_module).forget_carried_state()
        _settle_epoch(loop)
        self._goes_on = True
        if anew or then != (accumulate, _amid_step(loop, trainer)):  # no longer amid that step
            done = loop["epoch_loop.batch_progress"]["total"]["completed"]
            cast(Any, pl_module).first_batch = done
        else:
            self._gradients = checkpoint.get("gradients", {})
        was_over = checkpoint.get("ended_by") == self.limits
        trainer.should_stop = was_over and goes_on(trainer, self.resume)


class RecordFirst(Callback):
    """Put the record on disk before a checkpoint.

    A run that goes on logs nothing from before its checkpoint: what a kill has kept from the disk
    until then would be missing for good.

    Args:
        flush: writes what has been logged so far.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self.flush = flush

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Flush."""
        del trainer, pl_module, checkpoint
        self.flush()


def _begins_a_sequence(loop: dict[str, Any], trainer: Trainer) -> bool:
    # Where the sequences are others now, or cut otherwise, the data goes on with the next one.
    data = cast(Any, trainer).datamodule
    kept = loop["state_dict"].get("combined_loader", ())
    if data is None or not kept:
        return False
    stream = data.train_dataloader()
    stream.load_state_dict(kept[0])
    _count_as(stream.position, len(stream), loop["epoch_loop.batch_progress"])
    return not stream.goes_on_from(kept[0])


def _amid_step(loop: dict[str, Any], trainer: Trainer) -> int:
    done: int = loop["epoch_loop.batch_progress"]["current"]["completed"]
    return done % trainer.accumulate_grad_batches


def _count_as(position: int, length: int, batches: dict[str, Any]) -> None:
    # Lightning counts the batches of an epoch by itself, and of another length would miss its end.
    done = position % length
    if batches["current"]["completed"] not in (done, done or length):
        batches["is_last_batch"] = done == 0
        batches["current"] = dict.fromkeys(batches["current"], done)


def epochs_done(checkpoint: Mapping[str, Any]) -> int:
    """Count the epochs that a checkpoint has behind it to their last batch."""
    loop = checkpoint["loops"]["fit_loop"]
    begun: int = loop["epoch_progress"]["current"]["ready"]
    return begun if loop["epoch_loop.batch_progress"]["is_last_batch"] else begun - 1


def _settle_epoch(loop: dict[str, Any]) -> None:
    # Lightning would take a batch of the next epoch for one more of an epoch that is complete, and
    # count the rest as an epoch of its own; and what is left of one that the last step has ended.
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    complete = batches["is_last_batch"]
    if complete:
        batches["is_last_batch"] = False
        batches["current"] = dict.fromkeys(batches["current"], 0)
    for count in (epochs["total"], epochs["current"]):
        done = count["ready"] - (not complete)
        count.update(started=count["ready"], processed=done, completed=done)


def _count_logged_steps(trainer: Trainer) -> None:
    # Where it takes up a run right after a validation, Lightning counts the step before once more,
    # and what callbacks log would stand one step too late.
    loop: Any = trainer.fit_loop.epoch_loop
    loop._batches_that_stepped = trainer.global_step


def _put_back(loop: dict[str, Any]) -> None:
    progress = loop["epoch_loop.batch_progress"]
    for count in (progress["total"], progress["current"]):
        count["ready"] = count["completed"]
    progress["is_last_batch"] = False
    for state in loop["state_dict"].get("combined_loader", ()):
        state["position"] -= 1
