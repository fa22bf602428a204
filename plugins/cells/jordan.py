from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, register_cell
from rnnexp.types import State


@register_cell("jordan")
class Jordan(Cell):
    """Output-to-hidden recurrence only: the past reaches h_t through the fed-back output.

        h_t = tanh(W [x_t, y_{t-1}] + b)

    The model concatenates y_{t-1} to the input (``model.feedback=output``): the target under
    teacher forcing, so that no step depends on another and all T run at once without BPTT; its own
    output when running free. Weaker than hidden-to-hidden: y must carry all of the past.

    Source: Jordan 1986, "Serial order: a parallel distributed processing approach"; there state
        units keep a decaying trace of all y so far, here, as in textbooks, they are y_{t-1}.
    """

    recurs_through: ClassVar[Literal["state", "output"]] = "output"

    def __init__(self, input_size: int, *, hidden_size: int = 64) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.zeros(hidden_size))
        nn.init.xavier_uniform_(self.weight_ih)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Carry nothing: there is no hidden-to-hidden path."""
        del batch_shape
        return ()

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Map the input, which holds the fed-back output, to h."""
        return torch.tanh(nn.functional.linear(x_BI, self.weight_ih, self.bias_ih)), state
