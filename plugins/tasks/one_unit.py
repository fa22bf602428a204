from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.tasks import GeneratedTask, register_task


@register_task("one_unit")
class OneUnitTask(GeneratedTask):
    """The error whose surface has a cliff: be at one value after T steps, with nothing to read.

        x_t = 0                        shows the length only
        E   = (y_T - target)^2

    Meant for ``cell=one_unit model.head=identity``; every batch is the same, so descent follows
    the surface itself. A sweep ends with a picture of the surface and of every run's path on it.

    Args:
        target: the value to be at.

    Source: Pascanu et al. 2013, figure 6.
    """

    patterns = ("last",)
    sweep_picture = "cliff_surface"

    def __init__(self, seed: int = 0, *, target: float = 0.7, **options: Any) -> None:
        super().__init__(seed, **options)
        self.target = target

    @property
    def input_size(self) -> int:
        """A column of zeros."""
        return 1

    @property
    def output_size(self) -> int:
        """The value."""
        return 1

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Show nothing, ask for the target."""
        del rng
        asked_BO = torch.full((self.batch_size, 1), self.target)
        return torch.zeros(self.length, self.batch_size, 1), asked_BO

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error."""
        return nn.functional.mse_loss(outputs, targets)
