"""Denormal numbers are zero in every thread: those of torch's pool, and those of native loops."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence import unroll
from rnnexp.recurrence.native import reason_against
from rnnexp.recurrence.native.layout import WORTH_A_THREAD
from rnnexp.training.denormals import flush_denormals
from rnnexp.types import State

SMALL = 1e-30  # times 1e-9 it is denormal
SIZE = 1 << 20


class Halving(PointwiseCell):
    """h_t = h_{t-1} / 200, whose gradient falls as fast: both are denormal after four steps."""

    num_gates = 1

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return (0.005 * state[0] + 0 * (wx_BGH + rh_BGH).squeeze(-2),)


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    torch.ones(SIZE).mul_(2)  # the pool of threads is there before the test begins
    yield
    flush_denormals(False)


def zeros_of_torch() -> float:
    return zeros(torch.full((SIZE,), SMALL) * 1e-9)


def zeros(x: Tensor) -> float:
    """The share of true zeros, by their bits: where they are flushed, denormals equal zero too."""
    return float((x.detach().view(torch.int32) == 0).double().mean())


def zeros_of_a_native_loop() -> tuple[float, float]:
    """The shares of zeros among last states and among gradients of the first, over all rows."""
    cell = Halving(1, hidden_size=32)
    assert 2 * WORTH_A_THREAD <= 4 * 512 * 32 * (32 + 1)
    start = torch.full((512, 32), SMALL, requires_grad=True)
    last = unroll(cell, torch.zeros(4, 512, 1), (start,), backend="native").state[0]
    last.backward(torch.full_like(last, SMALL))
    assert start.grad is not None
    return zeros(last), zeros(start.grad)


@pytest.mark.parametrize("on", [True, False])
def test_threads_that_are_there_already_follow(on: bool) -> None:
    flush_denormals(not on)
    assert zeros_of_torch() == (not on)
    flush_denormals(on)
    assert zeros_of_torch() == on


def test_native_loops_take_the_callers_way_in_each_thread() -> None:
    if reason_against(Halving(1, hidden_size=4)) is not None:
        pytest.skip("there is no C compiler")
    for on in (False, True, False):
        torch.set_flush_denormal(on)  # of this thread alone: the others must follow from the call
        assert zeros_of_a_native_loop() == (on, on)
