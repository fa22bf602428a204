"""Cells that are unlike the shipped ones, and keep the contract all the same."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnexp.app.config.probe import try_step
from rnnexp.cells import Cell, require
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import Registry
from rnnexp.testing import CELL_CHECKS, CellSubject, examine
from rnnexp.testing.cost import multiply_adds
from rnnexp.types import State

from .faulty import Sound

CHECKS = [check for check in CELL_CHECKS if not check.is_long and check.name != "speed"]


class ComplexState(Cell):
    """Turn each unit by an angle of its own.

    z_t = a z_{t-1} + B x_t
    y_t = Re(C z_t)
    """

    gradient_of = "state"

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.angle_H = nn.Parameter(torch.rand(self.hidden_size))
        self.in_HI = nn.Parameter(self.complex(torch.randn(self.hidden_size, input_size, 2)))
        self.out_HH = nn.Parameter(self.complex(torch.randn(*[self.hidden_size] * 2, 2)))

    def complex(self, pairs: Tensor) -> Tensor:
        return pairs

    def numbers(self, weight: Tensor) -> Tensor:
        return torch.view_as_complex(weight)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        zeros = self.zeros(batch_shape)
        return (torch.complex(zeros, zeros),)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        in_HI, out_HH = self.numbers(self.in_HI), self.numbers(self.out_HH)
        z_BH = 0.9 * torch.exp(1j * self.angle_H) * state[0] + x_BI.to(in_HI.dtype) @ in_HI.T
        return (z_BH @ out_HH.T).real, (z_BH,)


class ComplexWeights(ComplexState):
    """Do the same by complex weights.

    z_t = a z_{t-1} + B x_t
    """

    def complex(self, pairs: Tensor) -> Tensor:
        return torch.view_as_complex(pairs)

    def numbers(self, weight: Tensor) -> Tensor:
        return weight


class Counts(Cell):
    """Count the steps in whole numbers.

    h_t = cos(n_t) tanh(W x_t + R h_{t-1})
    n_t = n_{t-1} + 1
    """

    clock_states = (1,)

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.weights = nn.Linear(input_size + self.hidden_size, self.hidden_size)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        h_BH = self.zeros(batch_shape)
        return h_BH, torch.zeros(*batch_shape, 1, dtype=torch.long, device=h_BH.device)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        h_BH, n_B1 = state
        h_BH = torch.tanh(self.weights(torch.cat([x_BI, h_BH], -1)))
        h_BH = torch.cos(0.1 * n_B1.to(h_BH.dtype)) * h_BH
        return h_BH, (h_BH, n_B1 + 1)


class Heads(Sound):
    """Have units in groups.

        h_t = tanh(W x_t + R h_{t-1} + b)

    Args:
        heads: how many groups.
    """

    def __init__(
        self, input_size: int, *, heads: int = 12, hidden_size: int = 24, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size, **options)
        require(hidden_size % heads == 0, "hidden_size", f"a multiple of {heads}", hidden_size)


class NoBias(Sound):
    """Have no bias.

    h_t = tanh(W x_t + R h_{t-1})
    """

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.bias_ih = None


@pytest.mark.parametrize("cls", [ComplexState, ComplexWeights, Counts, Heads, NoBias])
def test_an_unusual_cell_keeps_the_contract(plugins: Registry, cls: type) -> None:
    subject = CellSubject(replace(plugins.get("cell", "elman"), name="unusual", cls=cls))
    broken = {f.name: str(f.broken) for f in examine(subject, CHECKS) if f.status == "fails"}
    assert broken == {}


def test_a_cell_is_made_of_the_size_that_it_takes(plugins: Registry) -> None:
    subject = CellSubject(replace(plugins.get("cell", "elman"), name="unusual", cls=Heads))
    assert [subject.units(wanted) for wanted in (4, 24, 36, 64)] == [24, 24, 36, 24]
    sound = CellSubject(replace(plugins.get("cell", "elman"), name="unusual", cls=Sound))
    assert sound.units() == 4


def test_complex_weights_stay_complex(plugins: Registry) -> None:
    subject = CellSubject(replace(plugins.get("cell", "elman"), name="unusual", cls=ComplexWeights))
    assert subject.make(torch.float64).in_HI.dtype == torch.complex128
    assert subject.make(torch.float32).in_HI.dtype == torch.complex64


class ComplexFirst(Cell):
    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.turn_H = nn.Parameter(torch.exp(1j * torch.rand(self.hidden_size)))
        self.weights = nn.Linear(input_size, self.hidden_size)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        return (self.zeros(batch_shape),)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        z_BH = self.turn_H * state[0] + self.weights(x_BI)
        return z_BH.real, (z_BH,)


def test_inputs_and_outputs_are_real_whatever_the_first_weight() -> None:
    cell = ComplexFirst(2, hidden_size=3)
    try_step("unusual", cell, 2)
    assert multiply_adds(cell) == 2 * 3
    network = RecurrentNetwork(lambda size: ComplexFirst(size, hidden_size=3), 2, 1, feedback=True)
    fed_back_BO = network.initial_state((4,)).fed_back_BO
    assert fed_back_BO is not None
    assert fed_back_BO.dtype == torch.float32
