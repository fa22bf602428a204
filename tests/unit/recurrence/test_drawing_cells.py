"""A cell that draws random numbers runs by its own steps, and to look at it draws none."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence import BACKENDS, choose_backend
from rnnexp.recurrence.backends import reason_against
from rnnexp.recurrence.generators import generators_kept
from rnnexp.types import State

OWN = torch.Generator()
Draw = Callable[[Tensor], Tensor | float]


class Drawing(PointwiseCell):
    """h = draw(h) tanh(W x + R h) in training, tanh(W x + R h) else."""

    num_gates = 1

    def __init__(self, draw: Draw) -> None:
        super().__init__(2, hidden_size=4)
        self.draw = (draw,)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (self.draw[0](new_BH) * new_BH if self.training else new_BH,)


# So rarely another number than 1 that no comparison of values would see it.
DRAWS: dict[str, Draw] = {
    "of its state": lambda h: torch.bernoulli(torch.full_like(h, 1 - 1e-9)),
    "of its shape": lambda h: (torch.rand(h.shape) > 1e-9).to(h),
    "for all rows": lambda h: (torch.rand(h.shape[-1]) > 1e-9).to(h),
    "in place": lambda h: (h.new_empty(h.shape).uniform_() > 1e-9).to(h),
    "dropout": lambda h: nn.functional.dropout(torch.ones_like(h), 1e-9),
    "one number": lambda h: float(torch.rand(()) > 1e-9),
    "of Python": lambda h: float(random.random() > 1e-9),
    "of numpy": lambda h: float(np.random.rand() > 1e-9),
    "of a generator of its own": lambda h: (torch.rand(h.shape, generator=OWN) > 1e-9).to(h),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_loop_runs_it_in_training_and_no_draw_is_taken(name: str) -> None:
    cell = Drawing(DRAWS[name])
    with generators_kept(cell.weight_ih) as drawn:
        able = [name for name in BACKENDS if reason_against(name, cell) is None]
        assert able == ["loop"]
        assert choose_backend(cell.eval()) != "loop"
        assert choose_backend(cell.train()) == "loop"
        assert not drawn()


def test_to_look_at_a_cell_that_mixes_units_draws_none() -> None:
    cell = Drawing(lambda h: h.cumsum(-1))
    with generators_kept(cell.weight_ih) as drawn:
        assert choose_backend(cell) == "loop"
        assert not drawn()
