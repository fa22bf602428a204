from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, RecurrentInit, register_cell
from rnnexp.cells.init import filled, input_weight, square
from rnnexp.errors import ConfigError
from rnnexp.types import State


@register_cell("md_rnn")
class MDRNN(Cell):
    """Recurrence over two axes: each pixel has two predecessors, the left one and the upper one.

        h[y, x] = tanh(W v[y, x] + R_left h[y, x-1] + R_up h[y-1, x] + b)

    Time runs through the image row by row, one pixel a step (``task=digits task.order=pixels``).
    The state is the h of the last ``columns`` pixels, of which the newest is the left predecessor
    and the oldest the upper one, and the column. Beyond the edges h is 0. With
    ``model.bidirectional=true`` a second one comes from the opposite corner.

    Args:
        columns: pixels in a row.
        recurrent_init: initial recurrent weights, of both axes.
        scale: by which both start, so that h does not grow over two predecessors.

    Source: Graves et al. 2007, "Multi-dimensional recurrent neural networks" (arXiv 0705.2011),
        for two axes and one of the four directions.
    """

    family = "grid"
    clock_states = (1,)

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        columns: int = 8,
        recurrent_init: RecurrentInit = "orthogonal",
        scale: float = 0.5,
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        if columns < 1:
            raise ConfigError(f"cell.columns: must be at least 1, got {columns}.")
        self.columns = columns
        self.weight_ih = input_weight(1, hidden_size, input_size)
        self.weight_hh = square(hidden_size, 2, recurrent_init)
        self.weight_hh.detach().mul_(scale)
        self.bias_ih = filled(hidden_size, 0.0)

    @property
    def skips(self) -> tuple[int, ...]:
        """The upper neighbour."""
        return (self.columns,)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start in the upper left corner."""
        rows = self.zeros(batch_shape, self.columns, self.hidden_size)
        return rows, self.zeros(batch_shape, 1)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one pixel."""
        row_BXH, column_B1 = state
        up, left = row_BXH[..., 0, :], row_BXH[..., -1, :]
        # The newest pixel stands at the end of the row above, where a row begins.
        left = torch.where(column_B1 < 1, torch.zeros_like(left), left)
        sum_BH = nn.functional.linear(x_BI, self.weight_ih, self.bias_ih)
        h = torch.tanh(sum_BH + nn.functional.linear(torch.cat([left, up], -1), self._matrices()))
        next_B1 = column_B1 + 1
        next_B1 = torch.where(next_B1 >= self.columns, torch.zeros_like(next_B1), next_B1)
        return h, (torch.cat([row_BXH[..., 1:, :], h.unsqueeze(-2)], -2), next_B1)

    def _matrices(self) -> Tensor:
        return torch.cat(self.weight_hh.chunk(2), -1)
