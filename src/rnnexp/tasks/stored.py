"""Tasks whose sequences are all in memory, each of one class."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from rnnexp.errors import PluginError
from rnnexp.tasks.classes import accuracy, cross_entropy
from rnnexp.tasks.contract import SPLITS, Batch, Split, Task, batch_seed

SHARES: Mapping[Split, float] = {"val": 0.15, "test": 0.15}
"""Of the sequences of each class; the others train."""
JUDGED: tuple[Split, Split] = ("val", "test")


class StoredTask(Task):
    """A task of sequences in memory, each of one class, which is read after the last step.

    A subclass says what `sequences` there are, and before they are read their ``length`` (T),
    `input_size` (I) and `output_size` (the classes). They are split 70 : 15 : 15 within each class,
    the same for every seed, unless `parts` says otherwise; every epoch has an order of its own.
    What `sequences` and `parts` give is checked with the first batch, and refused by a
    `PluginError`.
    """

    patterns = ("last",)

    @abstractmethod
    def sequences(self) -> tuple[Tensor, Tensor]:
        """Read all sequences; asked for once, with the first batch.

        Returns:
            The inputs, shape (N, T, I), of which `torch.float32` is made where they are not whole
            numbers, and the class numbers from 0, shape (N,).
        """

    def parts(self, classes_N: Tensor) -> Mapping[Split, Tensor]:
        """Say which sequences are in which split, by their numbers.

        Args:
            classes_N: as `sequences` gives them.
        """
        return parts_by_class(classes_N)

    def num_batches(self, split: Split) -> int:
        """Count the batches; a last training batch that is not full is left for the next epoch."""
        rows = len(self._data[split][1])
        return max(1, rows // self.batch_size) if split == "train" else -(-rows // self.batch_size)

    def batch(self, split: Split, index: int) -> Batch:
        """Take the sequences of a batch.

        Args:
            split: of which part.
            index: its number; for ``train`` it counts on over epochs.
        """
        inputs_NTI, classes_N = self._data[split]
        epoch, number = divmod(index, self.num_batches(split))
        rows = torch.arange(len(classes_N))
        if split == "train":
            rng = torch.Generator().manual_seed(batch_seed(self.seed, split, epoch))
            rows = torch.randperm(len(classes_N), generator=rng)
        rows = rows[number * self.batch_size : (number + 1) * self.batch_size]
        return Batch(inputs_NTI[rows].transpose(0, 1), classes_N[rows])

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, nats per sequence."""
        return cross_entropy(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Share of right classes."""
        return {"accuracy": accuracy(outputs, targets)}

    @cached_property
    def _data(self) -> dict[Split, tuple[Tensor, Tensor]]:
        inputs_NTI, classes_N = _checked(self, self.sequences())
        parts = self.parts(classes_N)
        data: dict[Split, tuple[Tensor, Tensor]]
        data = {split: (inputs_NTI[rows], classes_N[rows]) for split, rows in parts.items()}
        for split in SPLITS:
            if split not in data or not len(data[split][1]):
                raise _broken(self, f"`parts` leaves none of {len(classes_N)} for {split}")
        return data


def _checked(task: Task, found: Any) -> tuple[Tensor, Tensor]:
    given: tuple[Any, ...] = found if isinstance(found, tuple) else (found,)
    if [isinstance(part, Tensor) for part in given] != [True, True]:
        kinds = ", ".join(type(part).__name__ for part in given)
        raise _broken(task, f"they are to be two tensors, inputs and classes, not {kinds}")
    inputs_NTI, classes_N = given
    _check_shapes(task, tuple(inputs_NTI.shape), tuple(classes_N.shape))
    if inputs_NTI.is_complex() or classes_N.is_complex() or classes_N.is_floating_point():
        kinds = f"{inputs_NTI.dtype} and {classes_N.dtype}"
        raise _broken(task, f"inputs are real, and classes whole numbers, but these are {kinds}")
    least, most = int(classes_N.min()), int(classes_N.max())
    if least < 0 or most >= task.output_size:
        last = task.output_size - 1
        raise _broken(task, f"classes are 0 to {last} (output_size - 1), not {least} to {most}")
    return inputs_NTI.float() if inputs_NTI.is_floating_point() else inputs_NTI, classes_N.long()


def _check_shapes(task: Task, inputs: tuple[int, ...], classes: tuple[int, ...]) -> None:
    rows = inputs[:1]
    if inputs != (*rows, task.length, task.input_size) or classes != rows or rows == (0,):
        raise _broken(
            task,
            f"shapes are (N, {task.length}, {task.input_size}), which are N, length, input_size, "
            f"and (N,), but these are {inputs} and {classes}",
        )


def _broken(task: Task, fault: str) -> PluginError:
    return PluginError(f"{type(task).__name__}, its sequences: {fault}.")


def parts_by_class(
    classes_N: Tensor, shares: Mapping[Split, float] = SHARES
) -> dict[Split, Tensor]:
    """Share sequences out within each class, always alike.

    Args:
        classes_N: class numbers.
        shares: of ``val`` and ``test``, each in [0, 1]; ``train`` has what is left.

    Returns:
        The numbers of the sequences of each split.
    """
    rng = torch.Generator().manual_seed(0)
    parts: dict[Split, list[Tensor]] = {"train": [], "val": [], "test": []}
    for number in classes_N.unique():
        rows = torch.nonzero(classes_N == number).flatten()
        rows = rows[torch.randperm(len(rows), generator=rng)]
        val, test = (round(shares[split] * len(rows)) for split in JUDGED)
        parts["val"].append(rows[:val])
        parts["test"].append(rows[val : val + test])
        parts["train"].append(rows[val + test :])
    return {split: torch.cat(rows) for split, rows in parts.items()}
