"""How many steps' activations are alive at once when they are computed twice."""

import weakref
from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.recurrence import unroll
from rnnexp.types import State

I = 3  # noqa: E741


class Heavy(torch.autograd.Function):
    """Keeps a tensor for the backward pass, and counts how many such tensors are alive."""

    alive = 0
    peak = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        kept = x * 2
        ctx.save_for_backward(kept)
        Heavy.alive += 1
        Heavy.peak = max(Heavy.peak, Heavy.alive)
        weakref.finalize(kept, Heavy.forget)
        return x * 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (kept,) = ctx.saved_tensors
        return grad + 0 * kept

    @classmethod
    def forget(cls) -> None:
        cls.alive -= 1


class Hoarder(Cell):
    """A cell each step of which keeps one tensor."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size, hidden_size=input_size)
        self.weight = torch.nn.Parameter(torch.ones(input_size))

    def initial_state(self, batch_shape: Any) -> State:
        return (self.zeros(batch_shape),)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        h = Heavy.apply(torch.tanh(x_BI + self.weight * state[0]))
        return h, (h,)


def peak_of(steps: int, every: int | None) -> int:
    """How many steps' activations are alive at once, at worst."""
    Heavy.alive = Heavy.peak = 0
    run = unroll(Hoarder(I), torch.ones(steps, 2, I), checkpoint_every=every)
    run.outputs_TBH.sum().backward()
    del run
    assert Heavy.alive == 0
    return Heavy.peak


def test_memory_grows_with_the_square_root() -> None:
    assert peak_of(64, None) == 64
    assert peak_of(256, None) == 256
    # Beside them only the states between the segments are kept: T / every of them.
    assert peak_of(64, 8) <= 8 + 1
    assert peak_of(256, 16) <= 16 + 1
