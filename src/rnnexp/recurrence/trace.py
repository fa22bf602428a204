"""What is recorded of the gradient on its way back through time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import ClassVar, Literal, NoReturn

import torch
from torch import Tensor

from rnnexp.errors import ConfigError
from rnnexp.types import State

Shown = Literal["nothing", "norms", "gradients"]
"""How much of dL/dh_t a backward pass shows; each shows what stands before it too."""
Series = Literal["grad_norm_T", "entering_norm_T", "arriving_norm_T"]
"""Those of a `Trace`."""
_LEAST, _MOST, _SCALE = 1e-12, 1e18, 2.0**96
"""Norms between the first two are exact in single precision; others once scaled by the third."""


@dataclass
class Trace:
    """A record of one unrolling, filled by the backward pass.

        grad_norm_T[t]     = ||dL/dh_t||          over all rows and units
        entering_norm_T[t] = ||dL/d(output_t)||   what enters at t
        arriving_norm_T[t] = ||dL_n/ds_t||        over all of the state that moves

    dL/dh_t is the whole gradient: what step t's output adds and what comes back from t+1. L_n is
    the loss through the output of step n alone, the last that has a gradient: how that gets back to
    the steps before takes a backward pass more through the recurrence. Where a gradient comes back
    through outputs that are fed back, too, what enters at t is not known apart from it.

    Args:
        grad_norm_T: shape (T,), in units of the loss; None until `Tensor.backward` has run.
        entering_norm_T: likewise.
        arriving_norm_T: likewise; None also where it is not asked for, or cannot be shown.
        follows_last: whether it is asked for.
    """

    needs: ClassVar[Shown] = "norms"

    grad_norm_T: Tensor | None = None
    entering_norm_T: Tensor | None = None
    arriving_norm_T: Tensor | None = None
    follows_last: bool = False
    arrived: State | None = field(default=None, init=False, repr=False)
    """Of a sequence in parts: dL_n/ds of the state before the part that was last gone through."""
    fed_back: bool = field(default=False, init=False, repr=False)
    """Likewise: whether a gradient also goes from part to part through outputs that are fed back,
    so that none can note alone what enters it, nor what arrives."""

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
        self.room(steps, grad_BH)[t] = _norm(grad_BH.reshape(1, -1))[0]

    def note_all(self, grad_TBH: Tensor) -> None:
        """Note dL/dh_t of all steps at once."""
        self.note_norms(_norm(grad_TBH.flatten(1)))

    def note_entering(self, grad_TBH: Tensor) -> None:
        """Note the gradient of the outputs of all steps."""
        self.note_norms(_norm(grad_TBH.flatten(1)), "entering_norm_T")

    def note_arriving(self, norm_T: Tensor, first: State) -> None:
        """Note ||dL_n/ds_t|| of all steps, and dL_n/ds of the state before them."""
        del first
        self.note_norms(norm_T, "arriving_norm_T")

    @property
    def follows_alone(self) -> bool:
        """Whether what arrives is asked for, and all of it comes through the state."""
        return self.follows_last and not self.fed_back

    @property
    def from_later(self) -> State | None:
        """dL_n/ds of the state after these steps, where they are a part and n is of a later one."""
        return None

    def note_norms(self, norm_T: Tensor, series: Series = "grad_norm_T") -> None:
        """Note norms of all steps, as where a backward pass has taken them itself."""
        setattr(self, series, norm_T)

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

    def room(self, steps: int, like: Tensor, series: Series = "grad_norm_T") -> Tensor:
        """Give the place of the norms of all T steps."""
        known: Tensor | None = getattr(self, series)
        if known is None:
            known = torch.zeros(steps, dtype=like.real.dtype, device=like.device)
            setattr(self, series, known)
        return known


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


def norms_of(grads: Sequence[Tensor]) -> Tensor:
    """Compute the norm at each step of several tensors of shape (T, ...) together."""
    return reduce(torch.hypot, [_norm(grad.flatten(1)) for grad in grads])


def _norm(grad_TN: Tensor) -> Tensor:
    if grad_TN.dtype != torch.float32 or not grad_TN.is_cpu:
        return wide_norm(grad_TN).to(grad_TN.real.dtype)
    # An eighth of the time; what has squares that single precision cannot hold is scaled first.
    norm_T = torch.linalg.vector_norm(grad_TN, dim=-1)
    low, high = norm_T.aminmax()
    if low >= _LEAST and high <= _MOST:
        return norm_T
    for beyond_T, factor in ((norm_T < _LEAST, _SCALE), (norm_T > _MOST, 1 / _SCALE)):
        steps = beyond_T.nonzero().squeeze(-1)
        if len(steps):
            norm_T[steps] = torch.linalg.vector_norm(grad_TN[steps] * factor, dim=-1) / factor
    return norm_T


class InputTrace(Trace):
    """A record of one unrolling with what the cell can be run again from, in one batch axis."""

    def __init__(self, follows_last: bool = False) -> None:
        super().__init__(follows_last=follows_last)
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
        super().__init__(follows_last=whole.follows_last)
        self._whole, self._begin, self._steps = whole, begin, steps

    def note_inputs(self, inputs_TBI: Tensor, state: State) -> None:
        """Hand on what enters the steps: parts come in the order of time."""
        self._whole.note_inputs(inputs_TBI, state)

    @property
    def follows_alone(self) -> bool:
        """As of the whole, which learns it once all parts have run."""
        return self._whole.follows_alone

    @property
    def from_later(self) -> State | None:
        """What the part after this one has left."""
        return self._whole.arrived

    def note_arriving(self, norm_T: Tensor, first: State) -> None:
        """Note what arrives in this part, and leave the part before it what it goes on with."""
        super().note_arriving(norm_T, first)
        self._whole.arrived = first

    def note_norms(self, norm_T: Tensor, series: Series = "grad_norm_T") -> None:
        """Note norms of this part in the whole."""
        if series == "entering_norm_T" and self._whole.fed_back:
            return
        self.room(len(norm_T), norm_T, series).copy_(norm_T)

    def room(self, steps: int, like: Tensor, series: Series = "grad_norm_T") -> Tensor:
        """Give the place of this part's norms within the whole."""
        part_T = self._whole.room(self._steps, like, series).narrow(0, self._begin, steps)
        setattr(self, series, part_T)
        return part_T
