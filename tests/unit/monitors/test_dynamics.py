"""Norm, saturation and growth of a state, against what can be worked out by hand."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnexp.cells import Cell
from rnnexp.monitors.dynamics import dynamics
from rnnexp.monitors.probe import means
from rnnexp.types import State


class Linear(Cell):
    """h_t = h_{t-1} R' + x_t, whose Jacobian is R at every step."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__(len(matrix), hidden_size=len(matrix))
        self.matrix = nn.Parameter(matrix)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        return (self.zeros(batch_shape),)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        h = state[0] @ self.matrix.T + x_BI
        return h, (h,)


class Shown(Cell):
    """Its step is one activation of the input."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(5, hidden_size=5)
        self.weight = nn.Parameter(torch.full((5,), 9.0))
        self.function = function

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        return ()

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        # The sigmoid of a parameter is no activation: it has no rows.
        return self.function(x_BI) + 0 * torch.sigmoid(self.weight), state


def start(*shape: int) -> State:
    return (torch.zeros(*shape, dtype=torch.float64),)


@pytest.mark.parametrize("factor", [0.5, -0.9, 1.0, 1.3])
def test_a_multiple_of_the_identity_grows_by_its_logarithm(factor: float) -> None:
    cell = Linear(factor * torch.eye(3, dtype=torch.float64))
    seen = dynamics(cell, torch.zeros(20, 4, 3).double(), start(4, 3))
    growth_T = torch.full((20,), math.log(abs(factor)), dtype=torch.float64)
    torch.testing.assert_close(seen.log_growth_T, growth_T)


def test_the_largest_eigenvalue_wins() -> None:
    torch.manual_seed(1)
    turn, _ = torch.linalg.qr(torch.randn(3, 3).double())
    values = torch.tensor([0.5, -0.9, 0.3], dtype=torch.float64)
    cell = Linear(turn @ values.diag() @ turn.T)
    seen = dynamics(cell, torch.zeros(100, 2, 3).double(), start(2, 3))
    # Carried back in time: the early steps are the ones that have forgotten where it began.
    torch.testing.assert_close(seen.log_growth_T[0].item(), math.log(0.9))
    assert seen.log_growth_T.mean().item() == pytest.approx(math.log(0.9), abs=0.05)


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "leaky", "phased_lstm", "clockwork"])
def test_the_sum_is_that_of_the_product_of_jacobians(plugins, name: str) -> None:
    torch.manual_seed(0)
    cell = plugins.get("cell", name).cls(2, hidden_size=3).double()
    x_TBI = torch.randn(6, 1, 2).double()
    first = cell.initial_state((1,))
    ticks = len(cell.clock_states)  # the last of the state
    state = tuple(torch.randn(1, 3).double() for _ in first[: len(first) - ticks])
    clocks = first[len(first) - ticks :]
    generator = torch.Generator().manual_seed(5)
    row = torch.cat([torch.randn(1, 3, generator=generator) for _ in state], 1).double()
    seen = dynamics(cell, x_TBI, (*state, *clocks), seed=5)
    product = torch.eye(row.numel()).double()
    for x_BI in x_TBI:
        flat = torch.cat(state, 1)

        def step(flat: Tensor, x_BI: Tensor = x_BI, clocks: State = clocks) -> Tensor:
            new = cell.step(x_BI, (*flat.split(3, 1), *clocks))[1]
            return torch.cat(new[: len(new) - len(clocks)], 1)

        product = torch.autograd.functional.jacobian(step, flat)[0, :, 0] @ product
        new = cell.step(x_BI, (*state, *clocks))[1]
        state, clocks = new[: len(new) - ticks], new[len(new) - ticks :]
        state = tuple(s.detach() for s in state)
    wanted = torch.log((row / row.norm() @ product).norm())
    torch.testing.assert_close(seen.log_growth_T.sum(), wanted)


class Timed(Linear):
    """The same beside a clock, by which what x adds turns: dh_t/dclock is not 0."""

    clock_states = (0,)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        return self.zeros(batch_shape, 1), *super().initial_state(batch_shape)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        clock, *rest = state
        h, new = super().step(x_BI * torch.cos(clock), tuple(rest))
        return h, (clock + 1, *new)


def test_a_clock_is_no_dynamics() -> None:
    cell = Timed(0.5 * torch.eye(3, dtype=torch.float64))
    seen = dynamics(cell, torch.randn(20, 4, 3).double(), cell.initial_state((4,)))
    torch.testing.assert_close(seen.log_growth_T, torch.full((20,), math.log(0.5)).double())


def test_a_phased_lstm_that_contracts_has_a_growth_below_0(plugins) -> None:
    torch.manual_seed(0)
    cell = plugins.get("cell", "phased_lstm").cls(2, hidden_size=8, open_share=1.0).double()
    with torch.no_grad():
        cell.weight_hh.mul_(0.1)
        cell.gate_bias(1).fill_(-2.0)
    seen = dynamics(cell, torch.randn(200, 3, 2).double(), cell.initial_state((3,)))
    assert seen.log_growth_T.mean() < -0.3, "with its clock -0.004"


def test_a_delay_line_of_inputs_is_no_dynamics(plugins) -> None:
    torch.manual_seed(0)
    cell = plugins.get("cell", "time_conv").cls(2, hidden_size=3, width=5)
    seen = dynamics(cell, torch.randn(8, 4, 2), cell.initial_state((4,)))
    assert seen.log_growth_T.isnan().all()
    assert seen.cut_T.tolist() == [1.0] * 8, "its convolution has nothing of the one before"
    assert "flow/log_growth" not in means({"layer0": seen})


def test_beside_past_inputs_a_state_grows_by_its_gate(plugins) -> None:
    cell = plugins.get("cell", "qrnn").cls(2, hidden_size=3, width=4, pooling="f").double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
    seen = dynamics(cell, torch.randn(8, 4, 2).double(), cell.initial_state((4,)))
    torch.testing.assert_close(seen.log_growth_T, torch.full((8,), math.log(0.5)).double())


def test_norms_are_means_over_rows() -> None:
    cell = Linear(torch.eye(2, dtype=torch.float64))
    x_TBI = torch.tensor([[[3.0, 4.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]]).double()
    seen = dynamics(cell, x_TBI, start(2, 2))
    torch.testing.assert_close(seen.state_norm_T, torch.tensor([3.0, 3.5]).double())
    assert seen.saturated_T.isnan().all()


LOGIT = math.log(9)  # sigmoid is 0.9 there, and tanh 0.8 at half of it
SHARES: dict[str, tuple[Callable[[Tensor], Tensor], list[float], float]] = {
    "sigmoid": (torch.sigmoid, [-LOGIT - 0.01, -LOGIT + 0.01, 0, LOGIT - 0.01, LOGIT + 0.01], 0.4),
    "tanh": (torch.tanh, [-LOGIT / 2 - 0.01, 0, LOGIT / 2 - 0.01, 1, 2], 0.4),
    "relu": (F.relu, [-1, -0.1, 0.1, 5, 50], 0.4),
    "hardtanh": (F.hardtanh, [-2, -0.9, 0, 0.9, 2], 0.4),
    "hardtanh within bounds": (lambda x: F.hardtanh(x, -3, 0.5), [-2, -0.9, 0, 0.9, 2], 0.4),
    "hardsigmoid": (F.hardsigmoid, [-4, -2.9, 0, 2.9, 4], 0.4),
    "two": (lambda x: torch.tanh(x) + torch.relu(x), [-9, -9, 9, 9, 9], 0.7),
    "in place": (lambda x: (x * 1).sigmoid_(), [-9, 0, 0, 0, 9], 0.4),
}


@pytest.mark.parametrize("name", SHARES)
def test_saturated_is_what_has_little_slope_left(name: str) -> None:
    function, values, share = SHARES[name]
    x_TBI = torch.tensor([[values], [[0.3] * 5]])
    seen = dynamics(Shown(function), x_TBI, ())
    assert seen.saturated_T.tolist() == pytest.approx([share, 0.0])
    assert seen.log_growth_T.isnan().all()
    assert seen.cut_T.isnan().all(), "no state is carried"


def test_shares_of_weight_are_not_taken_for_gates(plugins) -> None:
    for name in ("min_lstm", "slstm"):
        cell = plugins.get("cell", name).cls(2, hidden_size=3)
        seen = dynamics(cell, torch.randn(4, 5, 2), cell.initial_state((5,)))
        assert "flow/saturated" not in means({"layer0": seen}), name


@pytest.mark.parametrize(("name", "f", "share"), [("qrnn", 1, 1 / 3), ("t_lstm", 1, 1 / 2)])
def test_a_gate_counts_once(plugins, name: str, f: int, share: float) -> None:
    cell = plugins.get("cell", name).cls(2, hidden_size=3)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih.view(3, 3)[f] = 9.0
    seen = dynamics(cell, torch.randn(4, 5, 2), cell.initial_state((5,)))
    assert seen.saturated_T.tolist() == pytest.approx([share] * 4)


def test_where_nothing_is_left_the_direction_goes_on() -> None:
    cell = Linear(torch.zeros(2, 2))
    seen = dynamics(cell, torch.ones(3, 2, 2), (torch.zeros(2, 2),))
    assert seen.log_growth_T.isnan().all(), "not the smallest number of the type"
    assert seen.cut_T.tolist() == [1.0] * 3
    assert "flow/log_growth" not in means({"layer0": seen})


class Turning(Linear):
    """z_t = A z_{t-1}, in complex numbers."""

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        z_BN = state[0] @ self.matrix.mT
        return z_BN.real, (z_BN,)


def test_of_complex_states_the_magnitude_grows() -> None:
    angles = torch.tensor([0.3, 1.2, -2.0])
    turning = Turning(torch.diag(0.8 * torch.exp(1j * angles)))
    first = torch.randn(4, 3, dtype=torch.complex64)
    seen = dynamics(turning, torch.zeros(5, 4, 2), (first,))
    torch.testing.assert_close(seen.log_growth_T, torch.full((5,), math.log(0.8)))
    assert not seen.state_norm_T.is_complex()


class Forgetful(Linear):
    """Passes nothing of its state on in the rows, and at the steps, where x is 0."""

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        h_BH = x_BI + 0.5 * state[0] * (x_BI != 0)
        return h_BH, (h_BH,)


def test_the_growth_is_that_of_what_is_left() -> None:
    x_TBI = torch.ones(3, 2, 2)
    x_TBI[0], x_TBI[1, 0] = 0, 0
    seen = dynamics(Forgetful(torch.zeros(2, 2)), x_TBI, (torch.zeros(2, 2),))
    assert seen.log_growth_T.tolist() == pytest.approx(
        [math.nan, *[math.log(0.5)] * 2], nan_ok=True
    )
    assert seen.cut_T.tolist() == [1.0, 0.5, 0.0]
    assert means({"layer0": seen})["flow/log_growth"] == pytest.approx(math.log(0.5))


def test_a_growth_above_0_beside_cuts_is_no_exploding_gradient(plugins) -> None:
    cell = plugins.get("cell", "ind_rnn").cls(1, hidden_size=1).double()
    with torch.no_grad():
        cell.weight_hh_diagonal.fill_(1.1)
        cell.bias_ih.fill_(-3.0)
        cell.weight_ih.fill_(3.0)
    torch.manual_seed(0)
    x_TBI = torch.randn(50, 4, 1).double()
    first = torch.ones(4, 1).double().requires_grad_()
    state: State = (first,)
    for x_BI in x_TBI:
        _, state = cell.step(x_BI, state)
    (grad,) = torch.autograd.grad(state[0].sum(), first)
    figures = means({"layer0": dynamics(cell, x_TBI, (first.detach(),))})
    assert figures["flow/log_growth"] == pytest.approx(math.log(1.1))
    assert not grad.any()
    assert 0.1 < figures["flow/cut"] < 1


def test_nothing_else_is_touched(plugins) -> None:
    cell = plugins.get("cell", "lstm").cls(2, hidden_size=3)
    x_TBI, before = torch.randn(4, 2, 2), torch.get_rng_state()
    first = dynamics(cell, x_TBI, cell.initial_state((2,)))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in cell.parameters())
    again = dynamics(cell, x_TBI, cell.initial_state((2,)))
    assert torch.equal(first.log_growth_T, again.log_growth_T)
