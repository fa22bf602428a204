"""Updates written out by hand: what they must equal, and when they are not used."""

import pytest
import torch
from torch import Tensor

from rnnexp.cells import Formula, PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import Unrolled, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import REGISTRY
from rnnexp.types import State

from .subjects import draw, weigh

load_plugins()
LSTM = REGISTRY.get("cell", "lstm").cls


class OfHalf(Formula):
    """That of `Half`, or a wrong one.

    Args:
        factor: of dL/dsum, 1 where it is right.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def update(self, sums: tuple[Tensor, ...], state: State, new_state: State) -> None:
        torch.add(sums[0].tanh_(), state[0], alpha=0.5, out=new_state[0])

    def derive(self, left_BGH: Tensor, state: State, new_state: State) -> tuple[Tensor, ...]:
        return (self.factor * (1 - left_BGH**2),)

    def back(
        self, local: tuple[Tensor, ...], grads: State, grad_sum_BGH: Tensor, grads_before: State
    ) -> Tensor:
        torch.mul(grads[0], local[0], out=grad_sum_BGH)
        return 0.5 * grads[0]


class Half(PointwiseCell):
    """Half of h stays: its gradient has a way back through time beside R."""

    num_gates = 1
    factor = 1.0

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return (0.5 * state[0] + torch.tanh(wx_BGH + rh_BGH).squeeze(-2),)

    def formula(self) -> Formula:
        return OfHalf(self.factor)


WITH_FORMULA = [LSTM, Half]
any_of_them = pytest.mark.parametrize("kind", WITH_FORMULA)


def test_the_lstm_has_one() -> None:
    assert LSTM(3, hidden_size=4).formula() is not None


@pytest.mark.parametrize(
    ("dtype", "scale", "rtol"),
    [(torch.float32, 1e-6, 1e-5), (torch.float32, 1e-8, 1e-5), (torch.bfloat16, 3e-3, 0.1)],
)
def test_the_lstms_keeps_the_digits_of_small_numbers(
    dtype: torch.dtype, scale: float, rtol: float
) -> None:
    torch.manual_seed(0)
    cell, x = LSTM(3, hidden_size=4).to(dtype), (torch.randn(20, 2, 3) * scale).to(dtype)
    found = _of_weight(cell, x, "pointwise")
    exact = _of_weight(cell.double(), x.double(), "loop")
    for a, b in zip(found, exact, strict=True):
        assert (a.double() - b).abs().max() < rtol * b.abs().max()


@any_of_them
@pytest.mark.parametrize("steps", [1, 7])
def test_it_equals_the_loop(kind: type[PointwiseCell], steps: int) -> None:
    cell = kind(3, hidden_size=4).double()
    assert reason_against("pointwise", cell) is None
    x, state = draw(cell, steps, (2,))
    by_formula, by_loop = (_gradients(cell, x, state, backend) for backend in ("pointwise", "loop"))
    torch.testing.assert_close(by_formula, by_loop, rtol=1e-9, atol=1e-12)


@any_of_them
def test_a_graph_that_is_kept_goes_back_a_second_time(kind: type[PointwiseCell]) -> None:
    cell = kind(3, hidden_size=4).double()
    x, state = draw(cell, 7, (2,))
    loss = _loss(unroll(cell, x, state, backend="pointwise"))
    first, second = (torch.autograd.grad(loss, [x, *state], retain_graph=True) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_one_that_does_not_agree_is_refused() -> None:
    class Wrong(Half):
        update = Half.update
        formula = Half.formula
        factor = 1.01

    reason = reason_against("pointwise", Wrong(3, hidden_size=4))
    assert reason == "its formula gives other values or gradients than its update."


def test_what_is_wrong_beside_it_is_not_its_fault() -> None:
    class OwnProduct(LSTM):
        def project_recurrent(self, h_BH: Tensor) -> Tensor:
            return super().project_recurrent(h_BH) * 0.5

    assert "project_recurrent" in str(reason_against("pointwise", OwnProduct(3, hidden_size=4)))
    reason = reason_against("pointwise", LSTM(3, hidden_size=4).to("meta"))
    assert "meta tensor" in str(reason)


def test_that_of_the_one_inherited_from_is_not_used_for_another_update() -> None:
    class Halved(LSTM):
        def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
            h, c = super().update(wx_BGH, rh_BGH, state)
            return h, c / 2

    cell = Halved(3, hidden_size=4).double()
    assert reason_against("pointwise", cell) is None
    x, state = draw(cell, 5, (2,))
    fast, slow = (unroll(cell, x, state, backend=b) for b in ("pointwise", "loop"))
    torch.testing.assert_close(fast.outputs_TBH, slow.outputs_TBH)


def _gradients(
    cell: PointwiseCell, x: Tensor, state: State, backend: str
) -> tuple[Tensor, tuple[Tensor, ...]]:
    done = unroll(cell, x, state, backend=backend)
    of = [x, *state, *cell.parameters()]
    return done.outputs_TBH, torch.autograd.grad(_loss(done), of)


def _loss(done: Unrolled) -> Tensor:
    return weigh([done.outputs_TBH, *done.state])


def _of_weight(cell: PointwiseCell, x: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    outputs = unroll(cell, x, backend=backend).outputs_TBH
    assert cell.weight_hh is not None
    return outputs, torch.autograd.grad(outputs.sum(), cell.weight_hh)[0]
