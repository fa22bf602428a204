"""The contract of a task, promise by promise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnexp.registry import Entry
from rnnexp.tasks import Batch, Task
from rnnexp.tasks.contract import Pattern, Split
from rnnexp.testing.checks import BrokenError, Check, DoesNotApplyError

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class TaskSubject:
    """A registered task.

    Args:
        entry: what is registered.
    """

    entry: Entry

    def make(self, seed: int = 0) -> Task:
        """Make the task with its default options, and small batches."""
        task: Task = self.entry.cls(seed, batch_size=4)
        return task

    @property
    def place(self) -> str:
        """Where the task is written."""
        return f"{self.entry.cls.__qualname__} in {self.entry.file}"


def check_words(subject: TaskSubject) -> None:
    """A person can find out what the task is."""
    entry = subject.entry
    if not entry.summary.endswith((".", ":", "?")):
        raise BrokenError("a first line that is a sentence", repr(entry.summary), subject.place)
    silent = [o.name for o in entry.options if not o.doc or o.default == "???"]
    if silent:
        raise BrokenError(
            "a text and a default for every option", f"{silent} without", subject.place
        )


def check_batches(subject: TaskSubject) -> None:
    """Batches have the sizes that the task states."""
    task = subject.make()
    for split in SPLITS:
        if task.num_batches(split) < 1:
            raise BrokenError(f"batches in the split {split}", "none", subject.place)
        batch = task.batch(split, 0)
        shape = tuple(batch.inputs_TBI.shape)
        if len(shape) != 3 or shape[0] != task.length or shape[2] != task.input_size:
            raise BrokenError(
                f"inputs of shape (T={task.length}, B, I={task.input_size})",
                str(shape),
                f"Look at batch or generate of {subject.place}.",
            )
        if not torch.isfinite(batch.inputs_TBI).all():
            raise BrokenError("finite inputs", "NaN or infinity", subject.place)


def check_numbers(subject: TaskSubject) -> None:
    """Batch number n is always the same batch, whoever asks and whatever was asked before."""
    one, two = subject.make(), subject.make()
    torch.manual_seed(1)
    first = one.batch("train", 3)
    one.batch("train", 0)
    torch.manual_seed(2)
    if not _same(first, two.batch("train", 3)):
        raise BrokenError(
            "the same batch under the same number",
            "another one",
            f"Draw from the generator that is handed in, and from nothing else. {subject.place}.",
        )


def check_splits(subject: TaskSubject) -> str | None:
    """Training batches differ from each other; val and test do not depend on the seed."""
    task, other = subject.make(0), subject.make(1)
    constant = _same(task.batch("train", 0), other.batch("train", 0))
    if not constant and _same(task.batch("train", 0), task.batch("train", 1)):
        raise BrokenError("another batch under another number", "the same", subject.place)
    for split in ("val", "test"):
        if not _same(task.batch(split, 0), other.batch(split, 0)):
            raise BrokenError(
                f"the same {split} split for every seed",
                "others",
                f"All runs are to be judged on the same sequences. {subject.place}.",
            )
    return "its training batches do not depend on the seed" if constant else None


def check_loss(subject: TaskSubject) -> None:
    """The loss is a scalar with a gradient for the readouts that the task names."""
    task = subject.make()
    batch = task.batch("val", 0)
    for pattern in task.patterns:
        outputs = _outputs(task, batch, pattern).requires_grad_()
        loss = task.loss(outputs, batch.targets)
        if loss.dim() or not torch.isfinite(loss):
            raise BrokenError("a finite scalar loss", f"{loss.detach()}", subject.place)
        (grad,) = torch.autograd.grad(loss, outputs, allow_unused=True, materialize_grads=True)
        if not grad.any():
            raise BrokenError("a loss that depends on the outputs", "no gradient", subject.place)
        for name, value in task.metrics(outputs, batch.targets).items():
            if value.dim():
                raise BrokenError(f"a scalar {name}", f"shape {tuple(value.shape)}", subject.place)


def check_mean(subject: TaskSubject) -> None:
    """The loss is a mean over rows: a batch twice as wide has the same loss."""
    task = subject.make()
    batch = task.batch("val", 0)
    pattern = task.patterns[0]
    outputs, along = _outputs(task, batch, pattern), 1 if pattern == "every_step" else 0
    twice = torch.cat([outputs, outputs], along), torch.cat([batch.targets] * 2, along)
    single, double = float(task.loss(outputs, batch.targets)), float(task.loss(*twice))
    if abs(single - double) > 1e-4 * max(1.0, abs(single)):
        raise BrokenError(
            f"the loss {single:.6g} of twice the same rows", f"{double:.6g}", subject.place
        )


def check_feedback(subject: TaskSubject) -> None:
    """Targets that can be fed back have the form of outputs that are fed back."""
    task = subject.make()
    if not task.targets_as_inputs:
        raise DoesNotApplyError("its targets are no inputs")
    batch = task.batch("val", 0)
    fed = task.encode_target(batch.targets)
    own = task.encode_output(_outputs(task, batch, "every_step")[0])
    wanted = (task.length, batch.inputs_TBI.shape[1], task.output_size)
    if tuple(fed.shape) != wanted or tuple(own.shape) != wanted[1:]:
        raise BrokenError(
            f"fed-back targets of shape {wanted}, outputs of {wanted[1:]}",
            f"{tuple(fed.shape)}, {tuple(own.shape)}",
            f"Look at encode_target and encode_output of {subject.place}.",
        )


def _outputs(task: Task, batch: Batch, pattern: Pattern) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    rows = batch.inputs_TBI.shape[1]
    lead = (task.length, rows) if pattern == "every_step" else (rows,)
    return torch.randn(*lead, task.output_size, generator=rng)


def _same(one: Batch, two: Batch) -> bool:
    return torch.equal(one.inputs_TBI, two.inputs_TBI) and torch.equal(one.targets, two.targets)


TASK_CHECKS: tuple[Check[TaskSubject], ...] = (
    Check("words", "the docstring says what it is, options have texts and defaults", check_words),
    Check("batches", "batches have the sizes that it states", check_batches),
    Check("numbers", "batch number n is always the same", check_numbers),
    Check("splits", "training batches differ; val and test know no seed", check_splits),
    Check("loss", "a scalar loss with a gradient", check_loss),
    Check("mean", "the loss is a mean over rows", check_mean),
    Check("feedback", "targets and outputs are fed back in one form", check_feedback),
)
