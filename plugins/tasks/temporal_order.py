import math

import torch
from torch import Tensor

from rnnexp.tasks import GeneratedTask, accuracy, cross_entropy, one_hot, register_task

SYMBOLS = 6  # A, B, and four that mean nothing


@register_task("temporal_order")
class TemporalOrder(GeneratedTask):
    """The temporal order problem: which of A and B stood first, which second.

        x_t = one of c, d, e, f, but A or B at two steps p0, p1    (one-hot of 6)
        p0 ~ U[L/10, 2L/10),  p1 ~ U[5L/10, 6L/10)
        y   = AA | AB | BA | BB                                    read after the last step

    Guessing costs ln 4 = 1.386 nats, the baseline.

    Source: Pascanu et al. 2013, section 4.1.1. The positions are those of the authors' program; the
        arXiv version of the paper has [4L/10, 5L/10] for the second.
    """

    patterns = ("last",)
    shortest = 10

    @property
    def input_size(self) -> int:
        """One-hot of six symbols."""
        return SYMBOLS

    @property
    def output_size(self) -> int:
        """Four orders."""
        return 4

    @property
    def baseline(self) -> float:
        """Guessing one of four."""
        return math.log(4)

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the noise, the two symbols, and where they stand."""
        shape = (self.length, self.batch_size)
        shown_TB = torch.randint(2, SYMBOLS, shape, generator=rng)
        first_B, second_B = torch.randint(0, 2, (2, self.batch_size), generator=rng)
        self._place(shown_TB, first_B, 1, rng)
        self._place(shown_TB, second_B, 5, rng)
        return one_hot(shown_TB, SYMBOLS), 2 * first_B + second_B

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, nats per sequence."""
        return cross_entropy(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Share of right orders; guessing gets 1/4."""
        return {"accuracy": accuracy(outputs, targets)}

    def _place(self, shown_TB: Tensor, symbol_B: Tensor, tenth: int, rng: torch.Generator) -> None:
        begin, end = tenth * self.length // 10, (tenth + 1) * self.length // 10
        step_B = torch.randint(begin, end, (self.batch_size,), generator=rng)
        shown_TB[step_B, torch.arange(self.batch_size)] = symbol_B
