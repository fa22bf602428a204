"""What is recorded of the gradient on its way back through time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Trace:
    """A record of one unrolling, filled by the backward pass.

        grad_norm_T[t] = ||dL/dh_t||    over all rows and units

    dL/dh_t is the whole gradient: what step t's output adds and what comes back from t+1.

    Args:
        grad_norm_T: shape (T,), in units of the loss; None until `Tensor.backward` has run.
    """

    grad_norm_T: Tensor | None = None

    def hook(self, t: int, steps: int) -> Callable[[Tensor], None]:
        """Make the hook that notes dL/dh_t when autograd reaches step t of T."""

        def note(grad_BH: Tensor) -> None:
            if self.grad_norm_T is None:
                self.grad_norm_T = torch.zeros(steps, dtype=grad_BH.dtype, device=grad_BH.device)
            self.grad_norm_T[t] = torch.linalg.vector_norm(grad_BH)

        return note

    def note_all(self, grad_TBH: Tensor) -> None:
        """Note dL/dh_t of all steps at once."""
        self.grad_norm_T = torch.linalg.vector_norm(grad_TBH.flatten(1), dim=1)
