import math
from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.errors import ConfigError


@register_cell("lru")
class LRU(LinearCell):
    """Linear recurrent unit: complex numbers that turn and fade, each at a pace of its own.

        lambda = exp(-exp(nu) + i exp(theta))           one per number of the state, |lambda| < 1
        s_t    = lambda * s_{t-1} + exp(gamma) * B x_t  complex
        y_t    = Re(C s_t) + D x_t

    Args:
        states: complex numbers in the state; null takes as many as hidden units.
        least_radius: smallest |lambda| at the start.
        largest_radius: largest |lambda| at the start, below 1.
        largest_phase: largest angle of lambda at the start, in radians per step.

    Source: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences" (arXiv
        2303.06349); D is a matrix here, because inputs and outputs differ in width.
    """

    complex_state = True

    def __init__(
        self,
        input_size: int,
        *,
        states: int | None = None,
        least_radius: float = 0.9,
        largest_radius: float = 0.999,
        largest_phase: float = 2 * math.pi,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        self.state_size = self.hidden_size if states is None else states
        _check(self.state_size, least_radius, largest_radius, largest_phase)
        n, hidden = self.state_size, self.hidden_size
        square_N = torch.rand(n) * (largest_radius**2 - least_radius**2) + least_radius**2
        self.nu = nn.Parameter(torch.log(-0.5 * torch.log(square_N)))
        # 1 - rand lies in (0, 1]: its logarithm is finite.
        self.theta = nn.Parameter(torch.log(largest_phase * (1 - torch.rand(n))))
        self.gamma = nn.Parameter(0.5 * torch.log(1 - square_N))
        self.weight_ih = nn.Parameter(torch.randn(n, input_size, 2) / math.sqrt(2 * input_size))
        self.weight_out = nn.Parameter(torch.randn(hidden, n, 2) / math.sqrt(n))
        self.weight_skip = nn.Parameter(torch.randn(hidden, input_size) / math.sqrt(input_size))

    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Turn and fade by lambda, add the input at the scale that keeps s of its size."""
        turn_N = torch.polar(torch.exp(-torch.exp(self.nu)), torch.exp(self.theta))
        # Autocast multiplies in a type of which torch has no complex numbers.
        products = (nn.functional.linear(seen_BI, w_NxI) for w_NxI in self.weight_ih.unbind(-1))
        parts = [product_BN.to(self.nu.dtype) for product_BN in products]
        return turn_N, torch.exp(self.gamma) * torch.complex(*parts)

    def readout(self, s_BN: Tensor, seen_BI: Tensor) -> Tensor:
        """Take the real part of C s, and the input past the recurrence."""
        real_HxN, imaginary_HxN = self.weight_out.unbind(-1)
        real_part = nn.functional.linear(s_BN.real, real_HxN)
        turned = nn.functional.linear(s_BN.imag, imaginary_HxN)
        return real_part - turned + nn.functional.linear(seen_BI, self.weight_skip)


def _check(states: int, least: float, largest: float, phase: float) -> None:
    if states < 1:
        raise ConfigError(f"cell.states: must be at least 1, got {states}.")
    if not 0 < least <= largest < 1:
        raise ConfigError(
            "cell.least_radius, cell.largest_radius: must satisfy 0 < least_radius <= "
            f"largest_radius < 1, got {least} and {largest}."
        )
    if not phase > 0:
        raise ConfigError(f"cell.largest_phase: must be above 0, got {phase}.")
