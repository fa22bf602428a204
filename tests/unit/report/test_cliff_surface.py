"""The surface against published-by-measurement numbers, finite differences and the torch network.

At w = 5 the wall stands at b = -2.61234, its slope is 6,773, and the error falls over it from .346
to .0135: the values 0.0192 before and 0.0221 behind. At 0.0005 beside it they are .3415 and .0093.
"""

import numpy as np
import pytest
import torch

from rnnexp.recurrence import RecurrentNetwork
from rnnexp.report.cliff_surface import Unit, error_and_slope, pool, refine, wall

UNIT = Unit()
WALL, SLOPE, BEFORE, BEHIND = -2.61234, 6773, 0.346, 0.0135


def by_torch(plugins, w: float, b: float) -> tuple[float, float]:
    """Error and slope of the network that `experiment=cliff_surface` trains."""
    task = plugins.get("task", "one_unit").cls(0, batch_size=1)
    make = plugins.get("cell", "one_unit").cls
    network = RecurrentNetwork(
        lambda size: make(size, w=w, b=b), 1, 1, readout="last", head="identity"
    ).double()
    with torch.no_grad():  # the options were rounded to 32 bits
        network.layers[0].weight_hh.fill_(w)
        network.layers[0].bias_hh.fill_(b)
    batch = task.batch("train", 0)
    targets = torch.full_like(batch.targets, 0.7, dtype=torch.float64)
    loss = task.loss(network(batch.inputs_TBI.double())[0], targets)
    loss.backward()
    grads = [p.grad for p in network.parameters()]
    assert len(grads) == 2
    return loss.item(), float(torch.nn.utils.get_total_norm(grads))


def test_refinement_finds_the_wall() -> None:
    samples = refine(np.array([5.0]), np.linspace(-5, 1, 1201), UNIT)
    w, b, slope = wall(samples)
    assert w == [5.0]
    assert b[0] == pytest.approx(WALL, abs=1e-5)
    assert slope[0] == pytest.approx(SLOPE, rel=0.01)


def test_a_grid_of_005_steps_over_it() -> None:
    _, slope = error_and_slope(5.0, np.linspace(-5, 1, 1201), UNIT)
    assert slope.max() < 1.0


def test_the_error_falls_over_it() -> None:
    error, _ = error_and_slope(5.0, np.array([WALL - 0.0192, WALL + 0.0221]), UNIT)
    assert error == pytest.approx([BEFORE, BEHIND], rel=0.01)


def test_the_network_meets_the_same_wall(plugins) -> None:
    place = np.linspace(WALL - 3e-5, WALL + 3e-5, 61)
    slopes = [by_torch(plugins, 5.0, b)[1] for b in place.tolist()]
    steepest = int(np.argmax(slopes))
    assert 0 < steepest < 60
    assert slopes[steepest] == pytest.approx(SLOPE, rel=0.01)
    assert by_torch(plugins, 5.0, WALL - 0.0192)[0] == pytest.approx(BEFORE, rel=0.01)
    assert by_torch(plugins, 5.0, WALL + 0.0221)[0] == pytest.approx(BEHIND, rel=0.01)


@pytest.mark.parametrize("w", [1.0, 4.3, 5.0, 7.5])
@pytest.mark.parametrize("b", [-4.0, -2.3, 0.7])
def test_surface_and_network_are_one(plugins, w: float, b: float) -> None:
    error, slope = error_and_slope(w, b, UNIT)
    assert by_torch(plugins, w, b) == pytest.approx((float(error), float(slope)), rel=1e-9)


@pytest.mark.parametrize("unit", [Unit(), Unit(7, -1.0, 0.2)])
def test_slope_is_that_of_finite_differences(unit: Unit) -> None:
    w, b, step = np.array([1.0, 3.0, 4.5]), np.array([0.3, -1.7, -1.9]), 1e-6
    error, slope = error_and_slope(w, b, unit)
    by_w = (error_and_slope(w + step, b, unit)[0] - error_and_slope(w - step, b, unit)[0]) / 2e-6
    by_b = (error_and_slope(w, b + step, unit)[0] - error_and_slope(w, b - step, unit)[0]) / 2e-6
    assert slope == pytest.approx(np.hypot(by_w, by_b), rel=1e-6)
    assert error.shape == (3,)


def test_refinement_leaves_no_jump_unlooked_at() -> None:
    w_R = np.array([3.0, 4.5, 5.0])
    samples = refine(w_R, np.linspace(-4, 0, 41), UNIT)
    assert np.array_equal(samples.w, w_R[samples.row])
    same_row = np.diff(samples.row) == 0
    assert (np.diff(samples.b)[same_row] > 0).all()
    assert np.abs(np.diff(samples.error))[same_row].max() <= 0.004
    assert set(np.linspace(-4, 0, 41)) <= set(samples.b[samples.row == 0])


def test_walls_begin_above_four() -> None:
    w, b, slope = wall(refine(np.linspace(2, 6, 41), np.linspace(-4, 0, 41), UNIT))
    assert w[0] == pytest.approx(4.0)
    assert (slope >= 5).all()
    assert (np.diff(b) < 0).all()


def test_pooling_keeps_the_wall() -> None:
    samples = refine(np.array([2.0, 5.0]), np.linspace(-4, 0, 41), UNIT)
    cells = pool(samples, 2, np.linspace(-4, 0, 11))
    assert cells.shape == (2, 10)
    assert cells[1].argmax() == 3  # -2.8 to -2.4
    assert cells[1].max() == pytest.approx(SLOPE, rel=0.01)
    assert cells[0].max() < 1
