import math

import numpy as np
import pytest
import torch

from rnnexp.errors import ConfigError
from rnnexp.monitors.flow import half_life, peak_step, vanishing_ratio
from rnnexp.recurrence import Trace, unroll

T = 40


def decaying(half: float) -> np.ndarray:
    return 0.5 ** ((T - 1 - np.arange(T)) / half)


@pytest.mark.parametrize("half", [0.5, 3.0, 1000.0])
def test_half_life_of_a_pure_decay(half: float) -> None:
    assert half_life(decaying(half)) == pytest.approx(half)
    assert half_life(1e-9 * decaying(half)) == pytest.approx(half)


def test_half_life_is_infinite_where_nothing_decays() -> None:
    assert half_life(np.full(T, 0.3)) == math.inf
    assert half_life(decaying(3.0)[::-1]) == math.inf  # grows backwards: explodes


def test_half_life_of_noise_around_a_decay() -> None:
    noise = np.exp(np.random.default_rng(0).normal(0, 0.2, T))
    assert half_life(decaying(4.0) * noise) == pytest.approx(4.0, rel=0.1)


def test_underflow_does_not_bend_the_half_life() -> None:
    norms = decaying(2.0)
    norms[:10] = 0.0
    norms[12] = math.nan
    assert half_life(norms) == pytest.approx(2.0)


@pytest.mark.parametrize("norms", [[0.0] * 5, [0.0, 0.0, 1.0], [math.nan] * 3, [1.0]])
def test_half_life_needs_two_norms(norms: list[float]) -> None:
    assert math.isnan(half_life(norms))


@pytest.mark.parametrize("steps", [20, 100, 400])
def test_an_orthogonal_product_in_float32_does_not_decay(steps: int) -> None:
    torch.manual_seed(0)
    q_HH, grad_H, norms = torch.linalg.qr(torch.randn(8, 8))[0], torch.randn(8), []
    for _ in range(steps):
        norms.append(float(grad_H.norm()))
        grad_H = q_HH.T @ grad_H
    assert max(norms) / min(norms) > 1, "it is not constant"
    assert half_life(norms) == half_life(norms[::-1]) == math.inf


def test_vanishing_ratio_counts_decades() -> None:
    assert vanishing_ratio([1e-5, 7.0, 1e-2]) == pytest.approx(-3)
    assert vanishing_ratio([10.0, 1.0]) == pytest.approx(1)
    assert vanishing_ratio([2.0]) == 0.0
    assert vanishing_ratio([1e-300, 1e300]) == pytest.approx(-600)  # no overflow in between


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0.0, 1.0, -math.inf),
        (0.0, 0.0, math.nan),
        (math.nan, 1.0, math.nan),
        (1.0, math.inf, math.nan),
    ],
)
def test_vanishing_ratio_at_the_edges(first: float, last: float, expected: float) -> None:
    assert vanishing_ratio([first, last]) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        ([1e-3, 1e-1, 1.0, 0.0], -3),
        ([1.0, 0.0], 0),
        ([0.0, 1.0, 0.0], -math.inf),
        ([1.0, math.inf, 0.0], math.nan),
        ([0.0, math.nan, 0.0], math.nan),
    ],
)
def test_vanishing_ratio_is_to_the_last_step_that_has_a_gradient(
    norms: list[float], expected: float
) -> None:
    assert vanishing_ratio(norms) == pytest.approx(expected, nan_ok=True)


def test_peak_is_the_largest_or_the_first_broken_backwards() -> None:
    assert peak_step([1.0, 5.0, 2.0]) == 1
    assert peak_step([math.nan, math.inf, 2.0, 1e9]) == 1


@pytest.mark.parametrize("function", [vanishing_ratio, half_life, peak_step])
@pytest.mark.parametrize("shape", [(0,), (2, 3), ()])
def test_refuses_another_shape(function, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="grad_norm_T"):
        function(np.zeros(shape))


def test_a_scaled_orthogonal_recurrence_decays_as_its_scale(plugins) -> None:
    torch.manual_seed(0)
    cell = plugins.get("cell", "elman").cls(1, hidden_size=8)
    with torch.no_grad():
        cell.weight_hh.mul_(0.8)
        cell.weight_ih.mul_(1e-4)  # tanh stays linear: dL/dh_t = 0.8^(T-t)
    trace = Trace()
    unroll(cell, torch.randn(T, 3, 1), trace=trace).outputs_TBH[-1].sum().backward()
    assert trace.grad_norm_T is not None
    norms = trace.grad_norm_T
    assert half_life(norms) == pytest.approx(math.log(0.5) / math.log(0.8), rel=1e-3)
    assert vanishing_ratio(norms) == pytest.approx((T - 1) * math.log10(0.8), rel=1e-3)
    assert peak_step(norms) == T - 1
