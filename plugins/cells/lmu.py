from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, RecurrentInit, register_cell
from rnnexp.cells.init import filled, input_weight, square
from rnnexp.errors import ConfigError
from rnnexp.types import State


@register_cell("lmu")
class LMU(Cell):
    """Legendre memory unit: a memory that holds the last steps of one signal as a polynomial.

        u_t = e_x x_t + e_h h_{t-1} + e_m m_{t-1}          one number
        m_t = A' m_{t-1} + B' u_t                          its last ``window`` steps
        h_t = tanh(W x_t + R h_{t-1} + V m_t + b)

    A' and B' are fixed: the shifted Legendre system, held constant within a step.

    Args:
        order: coefficients of the polynomial.
        window: how many steps it spans.
        recurrent_init: initial recurrent weights.

    Source: Voelker et al. 2019, "Legendre memory units" (NeurIPS), equations 2 and 5 to 7.
    """

    family = "memory"
    keep: Tensor
    write: Tensor

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        order: int = 16,
        window: float = 100.0,
        recurrent_init: RecurrentInit = "orthogonal",
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        if order < 1 or not window > 0:
            raise ConfigError(
                "cell.order, cell.window: must be at least 1 and above 0, got "
                f"order={order}, window={window}."
            )
        keep, write = legendre(order, window)
        self.register_buffer("keep", keep)
        self.register_buffer("write", write)
        self.encode_x, self.encode_h = _spread(input_size), _spread(hidden_size)
        self.encode_m = filled(order, 0.0)
        self.weight_ih = input_weight(1, hidden_size, input_size)
        self.weight_hh = square(hidden_size, 1, recurrent_init)
        self.weight_mh = input_weight(1, hidden_size, order)
        self.bias_ih = filled(hidden_size, 0.0)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from zeros."""
        return self.zeros(batch_shape), self.zeros(batch_shape, len(self.keep))

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Write to the memory, then read it."""
        h, m = state
        linear = nn.functional.linear
        u_B1 = sum_of(x_BI, self.encode_x) + sum_of(h, self.encode_h) + sum_of(m, self.encode_m)
        m = linear(m, self.keep) + u_B1 * self.write
        h = torch.tanh(
            linear(x_BI, self.weight_ih, self.bias_ih)
            + linear(h, self.weight_hh)
            + linear(m, self.weight_mh)
        )
        return h, (h, m)


def legendre(order: int, window: float) -> tuple[Tensor, Tensor]:
    """Make A' (order, order) and B' (order,) of one step."""
    i = torch.arange(order, dtype=torch.float64)
    row, column = i.unsqueeze(1), i.unsqueeze(0)
    sign = torch.where(row < column, -1.0, -((-1.0) ** (row - column)))
    system = torch.zeros(order + 1, order + 1, dtype=torch.float64)
    system[:order, :order] = (2 * row + 1) * sign
    system[:order, order] = (2 * i + 1) * (-1.0) ** i
    # The last row is zero: an input that stays as it is for a step.
    discrete = torch.linalg.matrix_exp(system / window).to(torch.get_default_dtype())
    return discrete[:order, :order].contiguous(), discrete[:order, order].contiguous()


def sum_of(x_BN: Tensor, weight_N: Tensor) -> Tensor:
    """Weigh and add, shape (..., B, 1)."""
    return (x_BN * weight_N).sum(-1, keepdim=True)


def _spread(size: int) -> nn.Parameter:
    bound = (3 / size) ** 0.5  # variance 1 / size
    return nn.Parameter(torch.empty(size).uniform_(-bound, bound))
