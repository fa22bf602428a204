"""Tasks whose sequences are all in memory, each of one class."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from rnnexp.tasks.classes import accuracy, cross_entropy
from rnnexp.tasks.contract import Batch, Split, Task, batch_seed

SHARES: Mapping[Split, float] = {"val": 0.15, "test": 0.15}
"""Of the sequences of each class; the others train."""
JUDGED: tuple[Split, Split] = ("val", "test")


class StoredTask(Task):
    """A task of sequences in memory, each of one class, which is read after the last step.

    A subclass says what `sequences` there are. They are split 70 : 15 : 15 within each class, the
    same for every seed, unless `parts` says otherwise; every epoch has an order of its own.
    """

    patterns = ("last",)

    @abstractmethod
    def sequences(self) -> tuple[Tensor, Tensor]:
        """Read all sequences; asked for once, with the first batch.

        Returns:
            The inputs, shape (N, T, I), and the class numbers, shape (N,).
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
        inputs_NTI, classes_N = self.sequences()
        parts = self.parts(classes_N).items()
        return {split: (inputs_NTI[rows], classes_N[rows]) for split, rows in parts}


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
