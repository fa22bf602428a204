import io
import math

import pytest
import torch
from torch import nn

from rnnexp.errors import NonFiniteError
from rnnexp.monitors.nonfinite import NonFiniteGuard


@pytest.fixture
def model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(2, 1)


@pytest.fixture
def optimizer(model: nn.Linear) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.1)


def _backward(model: nn.Linear, scale: float = 1.0) -> float:
    model.zero_grad()
    (model(torch.ones(1, 2)).sum() * scale).backward()
    return float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]))


def _step(guard: NonFiniteGuard, model, optimizer, step: int, scale: float = 1.0) -> None:
    guard.before_step(_backward(model, scale), step, model, optimizer)
    optimizer.step()


def _weights(model: nn.Linear) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_raise_names_step_and_remedy(model, optimizer, value: float) -> None:
    before = _weights(model)
    with pytest.raises(NonFiniteError, match=r"norm is (nan|inf) at step 8\. Try clip=norm"):
        _step(NonFiniteGuard("raise"), model, optimizer, 7, value)
    assert torch.equal(_weights(model), before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_skip_changes_nothing_and_goes_on(model, optimizer, value: float) -> None:
    guard = NonFiniteGuard("skip")
    _step(guard, model, optimizer, 0)
    before, moments = _weights(model), optimizer.state[model.weight]["exp_avg"].clone()
    _step(guard, model, optimizer, 1, value)
    assert torch.equal(_weights(model), before)
    assert torch.equal(optimizer.state[model.weight]["exp_avg"], moments)
    assert (guard.skipped, guard.rollbacks) == (1, 0)
    _step(guard, model, optimizer, 2)
    assert not torch.equal(_weights(model), before)


def test_rollback_restores_weights_and_moments_and_lowers_the_rate(model, optimizer) -> None:
    guard = NonFiniteGuard("rollback", factor=0.5, snapshot_every=2)
    seen = []
    for step in range(4):
        seen.append(_weights(model))
        _step(guard, model, optimizer, step)
    _step(guard, model, optimizer, 4, math.nan)
    assert torch.equal(_weights(model), seen[2])  # the snapshots were taken at 0 and 2
    assert optimizer.state[model.weight]["step"] == 2
    assert guard.rate.of(optimizer) == 0.05
    _step(guard, model, optimizer, 5, math.nan)
    assert torch.equal(_weights(model), seen[2])
    assert guard.rate.of(optimizer) == 0.025
    assert optimizer.param_groups[0]["lr"] == 0.1, "the schedule's own rate stays"
    assert (guard.skipped, guard.rollbacks) == (0, 2)


def test_snapshot_is_not_changed_by_later_steps(model, optimizer) -> None:
    guard = NonFiniteGuard("rollback", snapshot_every=100, max_rollbacks=9)
    first = _weights(model)
    for step in range(3):
        _step(guard, model, optimizer, 3 * step)
        _step(guard, model, optimizer, 3 * step + 1)
        _step(guard, model, optimizer, 3 * step + 2, math.nan)
        assert torch.equal(_weights(model), first)


def test_rollbacks_end(model, optimizer) -> None:
    guard = NonFiniteGuard("rollback", max_rollbacks=2)
    _step(guard, model, optimizer, 0)
    for step in (1, 2):
        _step(guard, model, optimizer, step, math.nan)
    said = r"at step 4, after 2 rollbacks\. Try clip=norm, a lower.*monitor\.max_rollbacks\.$"
    with pytest.raises(NonFiniteError, match=said):
        _step(guard, model, optimizer, 3, math.nan)


def test_rollback_without_a_good_step_raises(model, optimizer) -> None:
    said = r"at step 1, before any finite step that it could roll back to\. Look at"
    with pytest.raises(NonFiniteError, match=said) as raised:
        _step(NonFiniteGuard("rollback"), model, optimizer, 0, math.nan)
    assert "monitor.nonfinite" not in str(raised.value)  # it is set already


def test_counts_survive_a_resume() -> None:
    guard = NonFiniteGuard("skip")
    guard.skipped, guard.rollbacks, guard.rate.factor = 3, 2, 0.25
    other = NonFiniteGuard("skip")
    other.load_state_dict(guard.state_dict())
    assert (other.skipped, other.rollbacks, other.rate.factor) == (3, 2, 0.25)


def test_a_rollback_after_a_resume_returns_to_the_same_place(model, optimizer) -> None:
    guard = NonFiniteGuard("rollback", snapshot_every=100)
    first = _weights(model)
    for step in range(3):
        _step(guard, model, optimizer, step)
    file = io.BytesIO()
    torch.save(guard.state_dict(), file)
    file.seek(0)
    again = NonFiniteGuard("rollback", snapshot_every=100)
    again.load_state_dict(torch.load(file, weights_only=True))
    _step(again, model, optimizer, 3, math.nan)
    assert torch.equal(_weights(model), first)
    assert again.rollbacks == 1


def test_an_overflow_is_left_to_the_gradient_scaler(model, optimizer) -> None:
    guard = NonFiniteGuard("raise")
    guard.scaled = True
    norm = _backward(model, math.inf)
    guard.before_step(norm, 0, model, optimizer, loss=1.0)
    assert guard.skipped == 1
    assert model.weight.grad is not None  # the scaler looks at it, and skips the step
    with pytest.raises(NonFiniteError, match="The loss is nan at step 2"):
        guard.before_step(norm, 1, model, optimizer, loss=math.nan)
