"""The contract of a task, promise by promise: what it is, and its data."""

import math
import operator
from functools import partial
from numbers import Real

import torch

from rnnexp.declared import fault_of_patterns
from rnnexp.errors import PluginError
from rnnexp.options import REQUIRED
from rnnexp.tasks import SPLITS, Batch, GeneratedTask, Split, Task
from rnnexp.tasks.record import facts_of
from rnnexp.testing.checks import (
    BrokenError,
    Check,
    PluginSubject,
    check_options_kept,
    check_summary,
    same_tensor,
)

_SIZED_ONCE = (
    "In generate, self.batch_size is judged_size while val and test are drawn: keep "
    "nothing in the constructor that has the size of a batch."
)
_LOOKED_UP = (torch.int64, torch.int32)
"""Types of inputs that a cell may look up in a table; no product takes them."""


class TaskSubject(PluginSubject):
    """A registered task."""

    def make(self, seed: int = 0, batch_size: int = 4) -> Task:
        """Make the task with its default options, and small batches."""
        takes = any(option.name == "batch_size" for option in self.entry.options)
        task: Task = self.entry.cls(seed, **({"batch_size": batch_size} if takes else {}))
        return task


def check_words(subject: TaskSubject) -> None:
    """A person can find out what the task is."""
    entry = subject.entry
    check_summary(entry, subject.place)
    silent = [o.name for o in entry.options if not o.doc or o.default == REQUIRED]
    if silent:
        raise BrokenError(
            "a text and a default for every option", f"{silent} without", subject.place
        )


def check_options(subject: TaskSubject) -> None:
    """The constructor leaves its options alone."""
    check_options_kept(subject.entry, partial(subject.entry.cls, 0))


def check_patterns(subject: TaskSubject) -> None:
    """Targets stand where the engine looks for them."""
    fault = fault_of_patterns(subject.make().patterns)
    if fault is not None:
        expected = "patterns = ('every_step',) or patterns = ('last',)"
        raise BrokenError(expected, fault, f"Look at {subject.place}.")


def check_batches(subject: TaskSubject) -> str | None:
    """Batches have the sizes that the task states, the first and the last of every split."""
    task = subject.make()
    for split in SPLITS:
        last = _count(subject, task, split) - 1
        _check_inputs(subject, task, _batch(subject, task, split, 0), task.length)
        # An evaluation takes sequences as long as they are, such as what is left of a recording.
        length = task.length if split == "train" else None
        _check_inputs(subject, task, _batch(subject, task, split, last), length)
    dtype = task.batch("train", 0).inputs_TBI.dtype
    return f"for cells that take inputs of {dtype}" if dtype in _LOOKED_UP else None


def check_targets(subject: TaskSubject) -> None:
    """Each step and row has a target, or each row: a window and a device take their part."""
    task = subject.make()
    stand = task.patterns[0]
    for split in SPLITS:
        batch = _batch(subject, task, split, 0)
        steps, rows = batch.inputs_TBI.shape[:2]
        lead = (steps, rows) if stand == "every_step" else (rows,)
        shape = tuple(batch.targets.shape)
        if shape[: len(lead)] != lead:
            words = f"T={steps}, B={rows}" if stand == "every_step" else f"B={rows}"
            raise BrokenError(
                f"targets of shape ({words}, ...), as patterns = ('{stand}', ...) says",
                str(shape),
                f"Look at patterns, and at batch or generate of {subject.place}.",
            )


def check_epochs(subject: TaskSubject) -> None:
    """In training the number of a batch counts on: those of the second epoch are batches too."""
    task = subject.make()
    count = _count(subject, task, "train")
    look = 'epoch, number = divmod(index, self.num_batches("train")) gives the number within one.'
    look = f"{look} Look at batch of {subject.place}."
    for index in (count, 2 * count - 1):
        asked = f"a batch under the number {index}, in the second epoch of {count} batches"
        try:
            batch = task.batch("train", index)
        except Exception as error:  # whatever comes of a number that is too large
            raise BrokenError(asked, f"{type(error).__name__}: {error}", look) from error
        if batch.inputs_TBI.shape[1] < 1:
            raise BrokenError(asked, f"inputs of shape {tuple(batch.inputs_TBI.shape)}", look)
        _check_inputs(subject, task, batch, task.length)


def check_facts(subject: TaskSubject) -> None:
    """What the record is to know of the data are names and values."""
    try:
        facts_of(subject.make())
    except PluginError as error:
        raise BrokenError("a dictionary", str(error), f"Look at {subject.place}.") from error


def check_baseline(subject: TaskSubject) -> None:
    """The baseline is a number, of the task and of each split that is judged."""
    task = subject.make()
    given = {"baseline": task.baseline}
    given |= {f"baseline_of('{split}')": task.baseline_of(split) for split in ("val", "test")}
    for name, value in given.items():
        if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
            look = f"float(...) makes a number of a tensor with one. Look at {subject.place}."
            raise BrokenError(f"a finite number as {name}, or None", repr(value), look)


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
    """Training batches differ from each other; val and test depend on no seed or batch_size."""
    task, other = subject.make(0), subject.make(1)
    constant = _same(task.batch("train", 0), other.batch("train", 0))
    if not constant and _same(task.batch("train", 0), task.batch("train", 1)):
        raise BrokenError("another batch under another number", "the same", subject.place)
    _check_judged(subject, task, other, "seed")
    if isinstance(task, GeneratedTask):  # others share out a given set, however many to a batch
        _check_judged(subject, task, subject.make(batch_size=5), "batch_size")
    return "its training batches do not depend on the seed" if constant else None


def _check_judged(subject: TaskSubject, task: Task, other: Task, option: str) -> None:
    for split in ("val", "test"):
        one, two = (_batch(subject, made, split, 0) for made in (task, other))
        if not _same(one, two):
            why = "All runs are to be judged on the same sequences."
            if one.inputs_TBI.shape[1] != two.inputs_TBI.shape[1]:
                why = f"{why} {_SIZED_ONCE}"
            raise BrokenError(
                f"the same {split} split for every {option}", "others", f"{why} {subject.place}."
            )


def _batch(subject: TaskSubject, task: Task, split: Split, index: int) -> Batch:
    try:
        return task.batch(split, index)
    except Exception as error:
        if split == "train" or not isinstance(task, GeneratedTask):
            raise
        raise BrokenError(
            f"{task.judged_size} sequences per batch of {split}, whatever batch_size is",
            f"{type(error).__name__}: {error}",
            f"{_SIZED_ONCE} Look at {subject.place}.",
        ) from error


def _count(subject: TaskSubject, task: Task, split: Split) -> int:
    count: object = task.num_batches(split)
    try:
        found = operator.index(count)
    except TypeError:
        found = 0
    if found < 1:
        look = f"Look at num_batches of {subject.place}; // divides into whole numbers."
        raise BrokenError(f"a whole number of batches in the split {split}", repr(count), look)
    return found


def _check_inputs(subject: TaskSubject, task: Task, batch: Batch, length: int | None) -> None:
    inputs_TBI = batch.inputs_TBI
    shape, look = tuple(inputs_TBI.shape), f"Look at batch or generate of {subject.place}."
    steps = shape[0] if length is None else length
    if len(shape) != 3 or shape[0] != steps or 0 in shape[:2] or shape[2] != task.input_size:
        wanted = f"(T={steps}, B, I={task.input_size}), T and B at least 1"
        raise BrokenError(f"inputs of shape {wanted}", str(shape), look)
    if inputs_TBI.dtype not in (torch.float32, *_LOOKED_UP):
        look = f"Write inputs_TBI.float(). {look}"
        raise BrokenError("inputs of torch.float32", str(inputs_TBI.dtype), look)
    if not torch.isfinite(inputs_TBI).all():
        raise BrokenError("finite inputs", "NaN or infinity", look)


def _same(one: Batch, two: Batch) -> bool:
    return same_tensor(one.inputs_TBI, two.inputs_TBI) and same_tensor(one.targets, two.targets)


DATA_CHECKS: tuple[Check[TaskSubject], ...] = (
    Check("words", "the docstring says what it is, options have texts and defaults", check_words),
    Check("options", "the constructor leaves its options as they are", check_options),
    Check("patterns", "targets stand at every step, or at the last", check_patterns, decisive=True),
    Check("batches", "batches have the sizes that it states", check_batches),
    Check("numbers", "batch number n is always the same", check_numbers),
    Check("epochs", "batch numbers count on over the epochs", check_epochs),
    Check("splits", "training batches differ; val and test are the same in all runs", check_splits),
    Check("facts", "its facts are names and values", check_facts),
    Check("baseline", "its baseline is a number", check_baseline),
    Check("targets", "each step and row has its target, or each row", check_targets, decisive=True),
)
