from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.tasks import GeneratedTask, Split, register_task


@register_task("adding")
class Adding(GeneratedTask):
    """The adding problem: sum the two marked numbers of a long sequence.

        x_t = [u_t, m_t],  u_t ~ U(0, 1),  m_t = 1 at two distinct steps, else 0
        y   = u_i + u_j    at the marked steps i, j

    Always answering 1 gives a mean squared error of 2 * 1/12 = 0.1667, the baseline. That is the
    average over all sequences: on the few of a split it may be some per cent more or less, and
    their own figure is what a loss there is divided by. An answer is right by the bound of 1997, an
    absolute error below 0.04 where the target is (u_i + u_j) / 2; always answering 1 gets 15 %.

    Source: Hochreiter & Schmidhuber 1997; this variant as in Bai et al. 2018.
    """

    patterns = ("last",)
    shortest = 2

    def __init__(self, seed: int = 0, **options: Any) -> None:
        super().__init__(seed, **options)
        self._measured: dict[tuple[Split, int], float] = {}

    @property
    def input_size(self) -> int:
        """A number and a mark."""
        return 2

    @property
    def output_size(self) -> int:
        """The sum."""
        return 1

    @property
    def baseline(self) -> float:
        """The variance of a sum of two U(0, 1)."""
        return 1 / 6

    def baseline_of(self, split: Split) -> float:
        """Measure what always answering 1 costs on a split, once; training has no end of batches.

        Args:
            split: that of ``val`` or ``test`` is drawn for it as for one evaluation.
        """
        if split == "train":
            return self.baseline
        key = split, self.length
        if key not in self._measured:
            targets = [self.batch(split, i).targets for i in range(self.num_batches(split))]
            self._measured[key] = float(((torch.cat(targets) - 1) ** 2).mean())
        return self._measured[key]

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw numbers, and two marks that fall on any distinct steps."""
        u_TB = torch.rand(self.length, self.batch_size, generator=rng)
        order_TB = torch.rand(self.length, self.batch_size, generator=rng)
        marked_2B = order_TB.topk(2, dim=0).indices
        mask_TB = torch.zeros_like(u_TB).scatter_(0, marked_2B, 1.0)
        sum_B1 = (u_TB * mask_TB).sum(0).unsqueeze(-1)
        return torch.stack([u_TB, mask_TB], -1), sum_B1

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error."""
        return nn.functional.mse_loss(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Share of answers less than 0.08 from the sum; always answering 1 gets 1 - 0.92^2."""
        return {"accuracy": ((outputs - targets).abs() < 0.08).float().mean()}
