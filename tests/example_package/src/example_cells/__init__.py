"""A cell and a task of a package of its own; importing it registers both."""

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.tasks import GeneratedTask, register_task
from rnnexp.types import State


@register_cell("softsign_unit")
class SoftsignUnit(PointwiseCell):
    """An Elman unit with a nonlinearity that saturates slowly.

        a   = W x_t + R h_{t-1} + b
        h_t = a / (1 + |a|)

    Source: this example.
    """

    num_gates = 1

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Squash the sum of the products."""
        a_BH = (wx_BGH + rh_BGH).squeeze(-2)
        return (a_BH / (1 + a_BH.abs()),)


@register_task("last_sign")
class LastSign(GeneratedTask):
    """Whether the first number of a sequence was positive.

        x_t ~ N(0, 1)
        y   = 1 if x_1 > 0 else 0       read after the last step

    A guess costs ln 2, the baseline.

    Source: this example.
    """

    patterns = ("last",)

    @property
    def input_size(self) -> int:
        """One number."""
        return 1

    @property
    def output_size(self) -> int:
        """One logit."""
        return 1

    @property
    def baseline(self) -> float:
        """Guessing."""
        return 0.6931

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw numbers; ask for the sign of the first."""
        x_TB1 = torch.randn(self.length, self.batch_size, 1, generator=rng)
        return x_TB1, (x_TB1[0] > 0).float()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy, in nats."""
        return nn.functional.binary_cross_entropy_with_logits(outputs, targets)
