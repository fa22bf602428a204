"""Omega and its gradient against NumPy: written out by hand, differentiated by finite steps."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.errors import ConfigError
from rnnexp.training.omega import WEIGHTS, omega

T, B = 6, 3
FLAVOURS = ("paper", "code")


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def unrolled(cell: PointwiseCell, inputs_TBI: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Run a cell; return the states before each step, and dL/dh_t of a loss on every step."""
    state = tuple(torch.randn(B, cell.hidden_size) * 0.3 for _ in range(cell.num_states))
    before, outputs = [], []
    for x_BI in inputs_TBI:
        before.append(state)
        out_BH, state = cell.step(x_BI, state)
        out_BH.retain_grad()
        outputs.append(out_BH)
    sum((out_BH.sin() * (t + 1)).mean() for t, out_BH in enumerate(outputs)).backward()
    states_TBH = tuple(torch.stack(s).detach() for s in zip(*before, strict=True))
    return states_TBH, torch.stack([out_BH.grad for out_BH in outputs])


def elman_case(plugins, hidden: int):
    torch.manual_seed(hidden)
    cell = plugins.get("cell", "elman").cls(2, hidden_size=hidden, recurrent_init="uniform")
    torch.nn.init.normal_(cell.bias_ih, std=0.2)
    inputs_TBI = torch.randn(T, B, 2)
    states_TBH, grad_TBH = unrolled(cell, inputs_TBI)
    cell.zero_grad()
    return cell, inputs_TBI, states_TBH, grad_TBH


def by_hand(weight_hh, slope_TBH, grad_TBH, flavour: str) -> float:
    """Sum over t and rows in plain loops; the slopes 1 - h_t^2 are constants."""
    terms, rows = [], grad_TBH.shape[1]
    for t in range(T):
        for row in range(rows):
            grad_H = grad_TBH[t, row]
            square = grad_H @ grad_H
            if square < 1e-20:
                continue
            back_H = weight_hh.T @ (slope_TBH[t, row] * grad_H)
            ratio = (back_H @ back_H) / square
            terms.append((np.sqrt(ratio) - 1) ** 2 if flavour == "paper" else (ratio - 1) ** 2)
    return sum(terms) / (rows if flavour == "paper" else len(terms))


def slopes(cell: PointwiseCell, inputs_TBI: Tensor, states_TBH: tuple[Tensor, ...]) -> np.ndarray:
    with torch.no_grad():
        return (1 - cell.step(inputs_TBI, states_TBH)[0] ** 2).numpy()


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("hidden", [1, 2])
@pytest.mark.parametrize("with_a_zero", [False, True])
def test_value_and_gradient_by_hand(plugins, hidden: int, flavour, with_a_zero: bool) -> None:
    cell, inputs_TBI, states_TBH, grad_TBH = elman_case(plugins, hidden)
    if with_a_zero:
        grad_TBH[2, 1] = 0.0  # says nothing of a ratio
        grad_TBH[4] = 1e-11
    value = omega(cell, inputs_TBI, states_TBH, grad_TBH, flavour)
    value.backward()
    slope_TBH, grads = slopes(cell, inputs_TBI, states_TBH), grad_TBH.numpy()
    weight = cell.weight_hh.detach().numpy()
    assert value.item() == pytest.approx(by_hand(weight, slope_TBH, grads, flavour), rel=1e-12)
    for index in np.ndindex(weight.shape):
        step = np.zeros_like(weight)
        step[index] = 1e-6
        up = by_hand(weight + step, slope_TBH, grads, flavour)
        down = by_hand(weight - step, slope_TBH, grads, flavour)
        assert float(cell.weight_hh.grad[index]) == pytest.approx((up - down) / 2e-6, rel=1e-6)


def test_one_unit_on_paper(plugins) -> None:
    """w = 0.5 and h = 0 throughout: each step halves the gradient, (1/2 - 1)^2 and (1/4 - 1)^2."""
    cell = plugins.get("cell", "elman").cls(1, hidden_size=1)
    torch.nn.init.constant_(cell.weight_hh, 0.5)
    zeros = torch.zeros(T, B, 1)
    values = [omega(cell, zeros, (zeros,), zeros + 3.0, f).item() for f in FLAVOURS]
    assert values == pytest.approx([T * 0.25, 0.75**2])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_is_zero_where_the_norm_is_kept(plugins, flavour) -> None:
    cell = plugins.get("cell", "elman").cls(1, hidden_size=4, recurrent_init="orthogonal")
    zeros_TBH = torch.zeros(T, B, 4)  # tanh has slope 1 at 0
    value = omega(cell, torch.zeros(T, B, 1), (zeros_TBH,), torch.randn(T, B, 4), flavour)
    assert value.item() == pytest.approx(0.0, abs=1e-25)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", ["elman", "leaky", "lstm", "gru"])
def test_reaches_the_recurrent_matrix_only(plugins, name: str, flavour) -> None:
    torch.manual_seed(0)
    cell = plugins.get("cell", name).cls(2, hidden_size=5)
    inputs_TBI = torch.randn(T, B, 2)
    states_TBH, grad_TBH = unrolled(cell, inputs_TBI)
    cell.zero_grad()
    omega(cell, inputs_TBI, states_TBH, grad_TBH, flavour).backward()
    moved = {name for name, p in cell.named_parameters() if p.grad is not None}
    assert moved == {"weight_hh"}
    assert float(cell.weight_hh.grad.norm()) > 0


@pytest.mark.parametrize("name", ["elman", "leaky", "lstm", "gru"])
def test_one_step_back_is_the_jacobian_of_the_cell(plugins, name: str) -> None:
    torch.manual_seed(1)
    cell = plugins.get("cell", name).cls(2, hidden_size=5)
    inputs_TBI = torch.randn(T, B, 2)
    states_TBH, grad_TBH = unrolled(cell, inputs_TBI)
    h_TBH = states_TBH[0].clone().requires_grad_(True)
    out_TBH, _ = cell.step(inputs_TBI, (h_TBH, *states_TBH[1:]))
    (back_TBH,) = torch.autograd.grad(out_TBH, h_TBH, grad_TBH)
    ratio_TB = back_TBH.square().sum(-1) / grad_TBH.square().sum(-1)
    expected = float((ratio_TB - 1).square().mean())
    assert omega(cell, inputs_TBI, states_TBH, grad_TBH, "code").item() == pytest.approx(expected)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_scale_of_the_loss_does_not_matter(plugins, flavour) -> None:
    cell, inputs_TBI, states_TBH, grad_TBH = elman_case(plugins, 2)
    once = omega(cell, inputs_TBI, states_TBH, grad_TBH, flavour)
    assert omega(cell, inputs_TBI, states_TBH, 1e-3 * grad_TBH, flavour).item() == pytest.approx(
        once.item()
    )


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_without_any_gradient_it_is_zero(plugins, flavour) -> None:
    cell, inputs_TBI, states_TBH, grad_TBH = elman_case(plugins, 2)
    value = omega(cell, inputs_TBI, states_TBH, torch.zeros_like(grad_TBH), flavour)
    value.backward()
    assert value.item() == 0.0
    assert cell.weight_hh.grad.isfinite().all()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_matrix_of_zeros_has_a_finite_gradient(plugins, flavour) -> None:
    cell, inputs_TBI, states_TBH, grad_TBH = elman_case(plugins, 2)
    torch.nn.init.zeros_(cell.weight_hh)
    omega(cell, inputs_TBI, states_TBH, grad_TBH, flavour).backward()
    assert cell.weight_hh.grad.isfinite().all()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_descent_makes_a_matrix_that_keeps_the_norm(plugins, flavour) -> None:
    """At h = 0 the slopes do not depend on the matrix: the immediate gradient is the whole one."""
    torch.manual_seed(0)
    cell = plugins.get("cell", "elman").cls(1, hidden_size=3, recurrent_init="uniform")
    zeros_TBH, grad_TBH = torch.zeros(T, B, 3), torch.randn(T, B, 3)
    mean_over = T if flavour == "code" else 1  # where paper has a sum over steps
    optimizer = torch.optim.SGD([cell.weight_hh], 0.02 * mean_over)
    values = []
    for _ in range(1000):
        optimizer.zero_grad()
        value = omega(cell, zeros_TBH[..., :1], (zeros_TBH,), grad_TBH, flavour)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert all(after < before + 1e-12 for before, after in pairwise(values))
    assert values[0] > 0.1
    assert values[-1] < 1e-6
    weight = cell.weight_hh.detach()
    torch.testing.assert_close(weight.T @ weight, torch.eye(3), atol=1e-2, rtol=0)


def test_the_weights_are_those_published() -> None:
    assert WEIGHTS == {"paper": 4.0, "code": 2.0}


def test_refuses_a_cell_without_a_known_matrix(plugins) -> None:
    cell = plugins.get("cell", "jordan").cls(2, hidden_size=3)
    with pytest.raises(ConfigError, match="Jordan is none"):
        omega(cell, torch.zeros(T, B, 2), (), torch.zeros(T, B, 3), "paper")
