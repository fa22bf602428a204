"""A cell that is linear in its state, so that all its steps can run at once."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rnnexp.cells.contract import Cell
from rnnexp.types import State


class LinearCell(Cell):
    """A cell whose state is multiplied and added to by what the inputs alone say.

        a_t, b_t = coefficients(x_t)
        s_t      = a_t * s_{t-1} + b_t          elementwise, real or complex
        y_t      = readout(s_t, x_t)

    A subclass states `coefficients` and `readout`; `step` follows from them, and so does the
    backend ``scan``, which computes all s_t in log2(T) rounds. |a_t| <= 1 keeps the products of
    many a_t finite.

    The constructor of a subclass may set:
        state_size: width N of the state; H by default.
        reach: how many inputs the coefficients see, x_t and those before it. They then get them
            side by side, the oldest first, zeros before the beginning; the state holds
            the past ones.
    """

    family = "linear"
    gradient_of: ClassVar[Literal["output", "state"]] = "state"

    complex_state: ClassVar[bool] = False
    """Whether s is complex. It is carried as 2N real numbers, two parts side by side."""

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.state_size = self.hidden_size
        self.reach = 1
        self.is_linear = True

    @abstractmethod
    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a and b of one step, or of all T at once.

        Args:
            seen_BI: the last ``reach`` inputs, shape (..., B, reach * I).

        Returns:
            a and b, shape (..., B, N); a may leave out leading axes.
        """

    def readout(self, s_BN: Tensor, seen_BI: Tensor) -> Tensor:
        """Make the output, shape (..., B, H), of the new state; by default the state itself."""
        del seen_BI
        return s_BN

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from zeros, with zeros as past inputs."""
        parts = 2 if self.complex_state else 1
        s_BN = self.zeros(batch_shape, parts * self.state_size)
        if self.reach == 1:
            return (s_BN,)
        return s_BN, self.zeros(batch_shape, self.reach - 1, self.input_size)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one time step."""
        seen_TBI, past = self.look_back(x_BI.unsqueeze(0), state)
        a_BN, b_BN = self.coefficients(seen_TBI[0])
        carried = self.as_carried(a_BN * self.as_number(state[0]) + b_BN)
        return self.readout(self.as_number(carried), seen_TBI[0]), (carried, *past)

    def look_back(self, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        """Put each step's last inputs side by side.

        Args:
            x_TBI: the inputs of T steps.
            state: before the first of them.

        Returns:
            Shape (T, ..., B, reach * I), and what the new state holds of past inputs.
        """
        if self.reach == 1:
            return x_TBI, ()
        steps = len(x_TBI)
        all_XBI = torch.cat([state[1].movedim(-2, 0), x_TBI])
        seen_TBI = torch.cat([all_XBI[k : k + steps] for k in range(self.reach)], -1)
        return seen_TBI, (all_XBI[steps:].movedim(0, -2),)

    def moving_states(self, count: int) -> tuple[int, ...]:
        """Leave out the past inputs, which drive the cell as x_t does."""
        past = (1,) if self.reach > 1 else ()
        return tuple(i for i in super().moving_states(count) if i not in past)

    def as_number(self, carried_BN: Tensor) -> Tensor:
        """Read the state as the numbers that the coefficients multiply."""
        if not self.complex_state:
            return carried_BN
        return torch.view_as_complex(carried_BN.unflatten(-1, (self.state_size, 2)))

    def as_carried(self, s_BN: Tensor) -> Tensor:
        """Write those numbers as the real state that is carried."""
        return torch.view_as_real(s_BN).flatten(-2) if self.complex_state else s_BN
