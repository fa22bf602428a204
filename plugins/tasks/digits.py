import math
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from rnnexp.tasks import Batch, Split, Task, accuracy, batch_seed, cross_entropy, register_task

SIDE = 8
SHARES = {"val": 0.15, "test": 0.15}


@register_task("digits")
class Digits(Task):
    """Handwritten digits, read along an axis of the image: which digit was it?

        rows      T = 8,  x_t = row t          columns   T = 8,  x_t = column t
        pixels    T = 64, x_t = pixel t, row by row
        y         = the digit                  read after the last step

    1,797 images of 8 by 8 pixels in [0, 1], split 70 : 15 : 15 within each class, the same for
    every seed. Guessing costs ln 10 = 2.303 nats, the baseline.

    Args:
        order: the axis of the recurrence.
        permuted: shuffle the pixels, the same way for every image; no axis is left to follow.

    Source: Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", the set that
        scikit-learn ships. Permuted pixels: Le et al. 2015.
    """

    patterns = ("last",)

    def __init__(
        self,
        seed: int = 0,
        *,
        order: Literal["pixels", "rows", "columns"] = "pixels",
        permuted: bool = False,
        batch_size: int = 32,
    ) -> None:
        super().__init__(seed, batch_size=batch_size)
        self.order = order
        self.permuted = permuted
        self.length = SIDE * SIDE if order == "pixels" else SIDE

    @property
    def input_size(self) -> int:
        """One pixel, or a row or column of them."""
        return SIDE * SIDE // self.length

    @property
    def output_size(self) -> int:
        """Ten digits."""
        return 10

    @property
    def baseline(self) -> float:
        """Guessing one of ten."""
        return math.log(10)

    def num_batches(self, split: Split) -> int:
        """Count the batches; a last training batch that is not full is left for the next epoch."""
        rows = len(self._data[split][1])
        return max(1, rows // self.batch_size) if split == "train" else -(-rows // self.batch_size)

    def batch(self, split: Split, index: int) -> Batch:
        """Take the images of a batch; every epoch has an order of its own."""
        inputs_NTI, labels_N = self._data[split]
        epoch, number = divmod(index, self.num_batches(split))
        rows = torch.arange(len(labels_N))
        if split == "train":
            rng = torch.Generator().manual_seed(batch_seed(self.seed, split, epoch))
            rows = torch.randperm(len(labels_N), generator=rng)
        rows = rows[number * self.batch_size : (number + 1) * self.batch_size]
        return Batch(inputs_NTI[rows].transpose(0, 1), labels_N[rows])

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, nats per image."""
        return cross_entropy(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Share of right digits."""
        return {"accuracy": accuracy(outputs, targets)}

    @cached_property
    def _data(self) -> dict[Split, tuple[Tensor, Tensor]]:
        from sklearn.datasets import load_digits  # takes a second: only when data is asked for

        images, labels = load_digits(return_X_y=True)
        labels_N = torch.as_tensor(labels, dtype=torch.long)
        inputs_NTI = self._in_order(torch.as_tensor(images, dtype=torch.float32) / 16)
        return {
            split: (inputs_NTI[rows], labels_N[rows]) for split, rows in _split(labels_N).items()
        }

    def _in_order(self, pixels_NP: Tensor) -> Tensor:
        if self.permuted:
            rng = torch.Generator().manual_seed(0)
            pixels_NP = pixels_NP[:, torch.randperm(SIDE * SIDE, generator=rng)]
        if self.order == "columns":
            pixels_NP = pixels_NP.unflatten(1, (SIDE, SIDE)).transpose(1, 2).flatten(1)
        return pixels_NP.unflatten(1, (self.length, self.input_size)).contiguous()


def _split(labels_N: Tensor) -> dict[Split, Tensor]:
    rng = torch.Generator().manual_seed(0)
    parts: dict[Split, list[Tensor]] = {"train": [], "val": [], "test": []}
    for digit in range(10):
        rows = torch.nonzero(labels_N == digit).flatten()
        rows = rows[torch.randperm(len(rows), generator=rng)]
        val, test = (round(SHARES[name] * len(rows)) for name in ("val", "test"))
        parts["val"].append(rows[:val])
        parts["test"].append(rows[val : val + test])
        parts["train"].append(rows[val + test :])
    return {split: torch.cat(rows) for split, rows in parts.items()}
