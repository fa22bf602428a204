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
            self.room(steps, grad_BH)[t] = torch.linalg.vector_norm(grad_BH)

        return note

    def note_all(self, grad_TBH: Tensor) -> None:
        """Note dL/dh_t of all steps at once."""
        self.note_norms(torch.linalg.vector_norm(grad_TBH.flatten(1), dim=1))

    def note_norms(self, norm_T: Tensor) -> None:
        """Note ||dL/dh_t|| of all steps, where a backward pass has taken the norms itself."""
        self.room(len(norm_T), norm_T).copy_(norm_T)

    def part(self, begin: int, steps: int) -> "Trace":
        """Make the trace of a run that begins at a later step; what it notes is noted here.

        Args:
            begin: the step of the whole sequence with which the run begins.
            steps: T of the whole sequence.
        """
        return _Part(self, begin, steps)

    def room(self, steps: int, like: Tensor) -> Tensor:
        """Give the place of the norms of all T steps."""
        if self.grad_norm_T is None:
            self.grad_norm_T = torch.zeros(steps, dtype=like.dtype, device=like.device)
        return self.grad_norm_T


class _Part(Trace):
    def __init__(self, whole: Trace, begin: int, steps: int) -> None:
        super().__init__()
        self._whole, self._begin, self._steps = whole, begin, steps

    def room(self, steps: int, like: Tensor) -> Tensor:
        """Give the place of this part's norms within the whole."""
        self.grad_norm_T = self._whole.room(self._steps, like).narrow(0, self._begin, steps)
        return self.grad_norm_T
