"""What is recorded of the gradient on its way back through time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NoReturn

import torch
from torch import Tensor

from rnnexp.errors import ConfigError
from rnnexp.types import State

Shown = Literal["nothing", "norms", "gradients"]
"""How much of dL/dh_t a backward pass shows; each shows what stands before it too."""


@dataclass
class Trace:
    """A record of one unrolling, filled by the backward pass.

        grad_norm_T[t] = ||dL/dh_t||    over all rows and units

    dL/dh_t is the whole gradient: what step t's output adds and what comes back from t+1.

    Args:
        grad_norm_T: shape (T,), in units of the loss; None until `Tensor.backward` has run.
    """

    needs: ClassVar[Shown] = "norms"

    grad_norm_T: Tensor | None = None

    def note_inputs(self, inputs_TBI: Tensor, state: State) -> None:
        """Take what enters the steps, and s_0; nothing is kept of it here."""

    def note_states(self, states: State) -> None:
        """Take s_0..s_{T-1}, shape (T, B, ...); nothing is kept of them here."""

    def hook(self, t: int, steps: int) -> Callable[[Tensor], None]:
        """Make the hook that notes dL/dh_t when autograd reaches step t of T."""

        def note(grad_BH: Tensor) -> None:
            self.note(t, steps, grad_BH)

        return note

    def note(self, t: int, steps: int, grad_BH: Tensor) -> None:
        """Note dL/dh_t of step t of T."""
        self.room(steps, grad_BH)[t] = _norm(grad_BH.flatten())

    def note_all(self, grad_TBH: Tensor) -> None:
        """Note dL/dh_t of all steps at once."""
        self.note_norms(_norm(grad_TBH.flatten(1)))

    def note_norms(self, norm_T: Tensor) -> None:
        """Note ||dL/dh_t|| of all steps, where a backward pass has taken the norms itself."""
        self.grad_norm_T = norm_T

    def driven(self) -> tuple[Tensor, State] | None:
        """Give what the cell can be run again from, inputs_TBI and s_0; None if it was not kept."""
        return None

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
            self.grad_norm_T = torch.zeros(steps, dtype=like.real.dtype, device=like.device)
        return self.grad_norm_T


def wide_norm(grad: Tensor) -> Tensor:
    """Compute norms over the last axis in double precision, where the device has it.

    A gradient that has vanished to 1e-23 has squares too small for float32, one of 1e20 too large.

    Args:
        grad: real or complex, with one axis at least.
    """
    if grad.device.type == "mps":  # which has no such numbers
        return torch.linalg.vector_norm(grad, dim=-1)
    wide = torch.complex128 if grad.is_complex() else torch.float64
    return torch.linalg.vector_norm(grad, dim=-1, dtype=wide)


def _norm(grad: Tensor) -> Tensor:
    return wide_norm(grad).to(grad.real.dtype)


class InputTrace(Trace):
    """A record of one unrolling with what the cell can be run again from, in one batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self._inputs: list[Tensor] = []
        self._first: State = ()

    def note_inputs(self, inputs_TBI: Tensor, state: State) -> None:
        """Keep what enters the steps, and the state before the first of them."""
        if not self._inputs:
            lead = inputs_TBI.dim() - 2
            self._first = tuple(s.detach().flatten(0, lead - 1) for s in state)
        self._inputs.append(inputs_TBI.detach().flatten(1, -2))

    def driven(self) -> tuple[Tensor, State] | None:
        """Give the inputs and s_0."""
        return (torch.cat(self._inputs), self._first) if self._inputs else None


@dataclass
class FullTrace(Trace):
    """A record of one unrolling with the gradients themselves, and what they belong to.

    Args:
        inputs_TBI: what entered the cell, with one batch axis.
        states: the state before each step, s_0..s_{T-1}: S tensors of shape (T, B, ...).
        grad_TBH: dL/dh_t, filled by the backward pass; zero where none has arrived.
    """

    needs: ClassVar[Shown] = "gradients"

    inputs_TBI: Tensor | None = None
    states: State = ()
    grad_TBH: Tensor | None = None

    def note_inputs(self, inputs_TBI: Tensor, state: State) -> None:
        """Keep what enters the steps."""
        del state
        self.inputs_TBI = inputs_TBI.detach().flatten(1, -2)

    def note_states(self, states: State) -> None:
        """Keep the states before the steps."""
        self.states = tuple(s.detach() for s in states)

    def driven(self) -> tuple[Tensor, State] | None:
        """Give the inputs and s_0."""
        if self.inputs_TBI is None:
            return None
        return self.inputs_TBI, tuple(s[0] for s in self.states)

    def note(self, t: int, steps: int, grad_BH: Tensor) -> None:
        """Keep dL/dh_t of one step."""
        super().note(t, steps, grad_BH)
        flat_BH = grad_BH.detach().reshape(-1, grad_BH.shape[-1])
        if self.grad_TBH is None:
            self.grad_TBH = flat_BH.new_zeros(steps, *flat_BH.shape)
        self.grad_TBH[t] = flat_BH

    def note_all(self, grad_TBH: Tensor) -> None:
        """Keep dL/dh_t of all steps."""
        super().note_all(grad_TBH)
        self.grad_TBH = grad_TBH.detach().flatten(1, -2).clone()

    def part(self, begin: int, steps: int) -> NoReturn:
        """Refuse: the parts would have to be joined.

        Raises:
            ConfigError: always.
        """
        del begin, steps
        raise ConfigError(
            "the gradients dL/dh_t are recorded of a sequence unrolled in one piece only: without "
            "unroll.checkpoint_every, rows of different lengths, or feeding step by step."
        )


class _Part(Trace):
    def __init__(self, whole: Trace, begin: int, steps: int) -> None:
        super().__init__()
        self._whole, self._begin, self._steps = whole, begin, steps

    def note_inputs(self, inputs_TBI: Tensor, state: State) -> None:
        """Hand on what enters the steps: parts come in the order of time."""
        self._whole.note_inputs(inputs_TBI, state)

    def note_norms(self, norm_T: Tensor) -> None:
        """Note ||dL/dh_t|| of this part in the whole."""
        self.room(len(norm_T), norm_T).copy_(norm_T)

    def room(self, steps: int, like: Tensor) -> Tensor:
        """Give the place of this part's norms within the whole."""
        self.grad_norm_T = self._whole.room(self._steps, like).narrow(0, self._begin, steps)
        return self.grad_norm_T
