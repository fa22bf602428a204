import pytest
import torch

from rnnexp.errors import NonFiniteError
from rnnexp.recurrence import RecurrentNetwork, unroll
from rnnexp.registry import Registry


@pytest.mark.parametrize("backend", ["pointwise", "loop", "vendor"])
def test_bad_input_is_named_with_its_step(plugins: Registry, backend: str) -> None:
    cell = plugins.get("cell", "lstm").cls(3, hidden_size=4)
    x = torch.zeros(5, 2, 3)
    x[3, 1, 0] = torch.nan
    x[4, 0, 1] = torch.inf
    words = r"inputs of shape \(5, 2, 3\): 2 values are NaN or infinite, first at time step 3\."
    with pytest.raises(NonFiniteError, match=words):
        unroll(cell, x, backend=backend, check_finite=True)
    assert not torch.isfinite(unroll(cell, x, backend=backend).outputs_TBH).all()


def test_bad_first_state_is_named(plugins: Registry) -> None:
    cell = plugins.get("cell", "lstm").cls(3, hidden_size=4)
    h, c = cell.initial_state((2,))
    c[0, 0] = -torch.inf
    with pytest.raises(NonFiniteError, match=r"state\[1\] of shape \(2, 4\): 1 .*before time step"):
        unroll(cell, torch.zeros(5, 2, 3), (h, c), check_finite=True)


def test_state_that_explodes_is_named_with_its_step(plugins: Registry) -> None:
    cell = plugins.get("cell", "elman").cls(1, hidden_size=2, nonlinearity="relu")
    with torch.no_grad():
        cell.weight_hh.copy_(torch.eye(2) * 1e10)
        cell.weight_ih.fill_(1.0)
    x = torch.ones(8, 1, 1)
    outputs = unroll(cell, x).outputs_TBH
    first = int((~torch.isfinite(outputs)).flatten(1).any(1).int().argmax())
    assert 0 < first < 7
    with pytest.raises(NonFiniteError, match=rf"outputs of .*first at time step {first}\."):
        unroll(cell, x, check_finite=True)


def test_hidden_state_that_explodes_is_named(plugins: Registry) -> None:
    cell = plugins.get("cell", "lstm").cls(1, hidden_size=1)
    largest = torch.full((1, 1), 3.4028234e38)
    cell.update = lambda wx, rh, state: (torch.tanh(state[1]), state[1] * 2)  # type: ignore[method-assign]
    run = unroll(cell, torch.ones(3, 1, 1), (largest, largest), backend="loop")
    assert torch.isfinite(run.outputs_TBH).all(), "tanh hides an infinite c"
    with pytest.raises(NonFiniteError, match=r"state\[1\] of .*after time step 2\."):
        unroll(cell, torch.ones(3, 1, 1), (largest, largest), backend="loop", check_finite=True)


def test_network_passes_the_check_on(plugins: Registry) -> None:
    cls = plugins.get("cell", "gru").cls
    network = RecurrentNetwork(lambda size: cls(size, hidden_size=4), 3, 2, check_finite=True)
    with pytest.raises(NonFiniteError, match="time step 1"):
        network(torch.tensor([0.0, torch.nan, 0.0]).view(3, 1, 1).expand(3, 2, 3))
