import math
from typing import Literal

import torch
from torch import Tensor

from rnnexp.tasks import StoredTask, register_task

SIDE = 8


@register_task("digits")
class Digits(StoredTask):
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

    def sequences(self) -> tuple[Tensor, Tensor]:
        """Read the images, with pixels in [0, 1]."""
        from sklearn.datasets import load_digits  # takes a second: only when data is asked for

        images, digits = load_digits(return_X_y=True)
        pixels_NP = torch.as_tensor(images, dtype=torch.float32) / 16
        return self._in_order(pixels_NP), torch.as_tensor(digits, dtype=torch.long)

    def _in_order(self, pixels_NP: Tensor) -> Tensor:
        if self.permuted:
            rng = torch.Generator().manual_seed(0)
            pixels_NP = pixels_NP[:, torch.randperm(SIDE * SIDE, generator=rng)]
        if self.order == "columns":
            pixels_NP = pixels_NP.unflatten(1, (SIDE, SIDE)).transpose(1, 2).flatten(1)
        return pixels_NP.unflatten(1, (self.length, self.input_size)).contiguous()
