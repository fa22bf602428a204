"""What a task is: batches by number, a loss, a trivial baseline."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.tasks.classes import IGNORED
from rnnexp.tasks.returned import drawn_by

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Pattern = Literal["every_step", "last"]


@dataclass
class Batch:
    """Sequences of equal length, time first.

    Args:
        inputs_TBI: shape (T, B, I).
        targets: one per step, shape (T, B, ...), or one per sequence, shape (B, ...).
        fresh: True where sequences begin; False where they go on from the batch before.
        seed: what the batch was generated from; 0 where it was read from data.
        before: steps of the sequences that come before these, where they are a window of longer
            ones.
        after: likewise, steps that come after.
        spare: True where these steps are read and not judged: they are the past of those that
            are, or another of several processes counts these rows, and this one has none.
    """

    inputs_TBI: Tensor
    targets: Tensor
    fresh: bool = True
    seed: int = 0
    before: int = 0
    after: int = 0
    spare: bool = False

    def to(self, *args: object, **kwargs: object) -> "Batch":
        """Move the tensors, as `torch.Tensor.to` does."""
        inputs = self.inputs_TBI.to(*args, **kwargs)  # type: ignore[call-overload]
        targets = self.targets.to(*args, **kwargs)  # type: ignore[call-overload]
        return replace(self, inputs_TBI=inputs, targets=targets)


class Task(ABC):
    """Where sequences come from and how outputs are judged.

    A plugin task is a subclass under ``@register_task``; its keyword-only constructor arguments
    are its options. Batch number n of a split is always the same, so that a run can be repeated,
    resumed, and asked for the very batch of step n.

    Args:
        batch_size: sequences per batch B.
    """

    patterns: ClassVar[tuple[Pattern, ...]] = ("every_step",)
    """Which readouts suit the task; the first is the default."""
    targets_as_inputs: ClassVar[bool] = False
    """Whether a target can be fed back as input of the next step."""
    carries_state: ClassVar[bool] = False
    """Whether consecutive batches are one long text, so that the state goes on."""
    sweep_picture: ClassVar[str | None] = None
    """A picture that a sweep over this task ends with: one of `rnnexp.app.sweep.pictures`."""

    length: int
    """Time steps T of a training sequence."""

    def __init__(self, seed: int = 0, *, batch_size: int = 32) -> None:
        _at_least(1, "task.batch_size", batch_size)
        self.seed = seed
        self.batch_size = batch_size

    @property
    @abstractmethod
    def input_size(self) -> int:
        """Input features I."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Output features O."""

    @property
    def baseline(self) -> float | None:
        """The loss of the best predictor that learns nothing over time, in the loss's unit."""
        return None

    def baseline_of(self, split: Split) -> float | None:
        """Say the `baseline` of one split, by which its ``loss_relative`` is divided.

        A split is a sample: what learns nothing may cost some per cent more or less there than on
        average over all sequences. The default is the number `baseline`.

        Args:
            split: which one; asked for at every batch of an evaluation.
        """
        del split
        return self.baseline

    @property
    def stated_length(self) -> int:
        """The T that was asked for, by which figures such as ``test/loss_T200`` are named."""
        return self.length

    @abstractmethod
    def num_batches(self, split: Split) -> int:
        """Count the batches of a split; for ``train``, those of one epoch."""

    @abstractmethod
    def batch(self, split: Split, index: int) -> Batch:
        """Make a batch of a split.

        Args:
            split: ``val`` and ``test`` are the same for every seed, ``train`` is not.
            index: which one; for ``train`` it counts on over epochs.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Judge outputs: a mean over steps and rows, a scalar to be minimised."""

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compute further figures of a batch by name, such as ``accuracy``: means as the loss.

        ``loss``, ``loss_relative`` and ``loss_free`` are names of the engine's own.
        """
        del outputs, targets
        return {}

    def weight_of(self, batch: Batch) -> int:
        """Count what the loss of a batch is a mean over; evaluation weighs batches by it.

            targets that are not `IGNORED`    where they are classes, as whole numbers
            rows                              where they are numbers

        Args:
            batch: as the loss judges it.
        """
        if batch.targets.is_floating_point():
            return batch.inputs_TBI.shape[1]
        return int((batch.targets != IGNORED).sum())

    @property
    def facts(self) -> Mapping[str, object]:
        """What the record should know of the data, such as a digest: tags of the run, as text."""
        return {}

    def test_tasks(self) -> "tuple[Task, ...]":
        """List the same task at lengths that are tested and never trained on."""
        return ()

    def samples(self, network: nn.Module) -> dict[str, str]:
        """Make texts that show what a trained network does, by file name.

        A ``forecast.csv`` is drawn, too: see `rnnexp.report.forecast.draw_forecast`.
        """
        del network
        return {}

    def encode_target(self, targets: Tensor) -> Tensor:
        """Make what teacher forcing feeds back from the targets, shape (T, B, O).

        Raises:
            ConfigError: the targets of this task cannot be inputs.
        """
        del targets
        raise ConfigError(f"The targets of {type(self).__name__} cannot be fed back as inputs.")

    def encode_output(self, outputs_BO: Tensor) -> Tensor:
        """Make what free running feeds back from an output, in the form of `encode_target`."""
        return outputs_BO


def batch_seed(seed: int, split: Split, index: int) -> int:
    """Derive the seed of a batch from its split and number, the same on every machine.

    It has 56 bits, of which ``torch.Generator`` on a CPU takes the lower 32: among 300,000 batches
    of a run some ten pairs are drawn alike.

    Args:
        seed: of the run; only ``train`` depends on it.
        split: of the batch.
        index: its number, or that of an epoch.
    """
    if split != "train":
        seed = 0  # every run is judged on the same sequences
    digest = hashlib.blake2b(f"{seed}/{split}/{index}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


class GeneratedTask(Task):
    """A task whose sequences are drawn on the fly from a seed; nothing is held in memory.

    Args:
        length: the T of the task's definition.
        test_lengths: further lengths to test on, never trained on.
        batch_size: sequences per training batch B.
        train_batches: batches per epoch.
        val_batches: batches of the validation split, of 32 sequences whatever batch_size is.
        test_batches: batches of the test split, of 32 sequences likewise.
    """

    shortest: ClassVar[int] = 1
    """The least length at which the task makes sense."""
    judged_size: ClassVar[int] = 32
    """Sequences per batch of ``val`` and ``test``: runs that differ in batch_size are judged on the
    same ones."""

    def __init__(
        self,
        seed: int = 0,
        *,
        length: int = 50,
        test_lengths: tuple[int, ...] = (),
        batch_size: int = 32,
        train_batches: int = 500,
        val_batches: int = 16,
        test_batches: int = 32,
    ) -> None:
        super().__init__(seed, batch_size=batch_size)
        self._batches = {"train": train_batches, "val": val_batches, "test": test_batches}
        for split, count in self._batches.items():
            _at_least(1, f"task.{split}_batches", count)
        _at_least(self.shortest, "task.length", length)
        for other in test_lengths:
            _at_least(self.shortest, "task.test_lengths", other)
        self.test_lengths = tuple(test_lengths)
        self._stated_length = length
        self.set_length(length)

    @property
    def stated_length(self) -> int:
        """The T of the definition."""
        return self._stated_length

    def set_length(self, length: int) -> None:
        """Set the T of the definition, from which the number of time steps follows."""
        self.length = length

    def test_tasks(self) -> tuple[Task, ...]:
        """List the same task at the lengths that are tested only."""
        return tuple(self._at_length(length) for length in self.test_lengths)

    def _at_length(self, length: int) -> Task:
        other = copy(self)
        other._stated_length = length
        other.set_length(length)
        return other

    def num_batches(self, split: Split) -> int:
        """Count the batches of a split; for ``train``, those of one epoch."""
        return self._batches[split]

    def batch(self, split: Split, index: int) -> Batch:
        """Generate a batch from its own seed."""
        seed = batch_seed(self.seed, split, index)
        with self._drawing(split):
            drawn = self.generate(torch.Generator().manual_seed(seed))
        inputs_TBI, targets = drawn_by(self, drawn)
        return Batch(inputs_TBI, targets, seed=seed)

    @contextmanager
    def _drawing(self, split: Split) -> Generator[None]:
        # Set here and not in a copy: what `generate` keeps between calls would be lost with that.
        # The type, because torch draws other numbers in float64, and 64-true makes it the default.
        own, dtype = self.batch_size, torch.get_default_dtype()
        self.batch_size = own if split == "train" else self.judged_size
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            self.batch_size = own
            torch.set_default_dtype(dtype)

    @abstractmethod
    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw ``self.batch_size`` sequences: in an evaluation that is `judged_size`.

        Args:
            rng: the only source of chance.

        Returns:
            The inputs, shape (T, B, I), and the targets of every step or of each sequence.
        """


def _at_least(least: int, key: str, value: int) -> None:
    if value < least:
        raise ConfigError(f"{key}: must be at least {least}, got {value}.")
