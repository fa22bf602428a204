import numpy as np
import pytest
import torch

from rnnexp.errors import ConfigError
from rnnexp.recurrence import RecurrentNetwork, unroll


def test_follows_its_equation(plugins) -> None:
    cell = plugins.get("cell", "one_unit").cls(1, w=4.5, b=-2.0, x0=0.25).double()
    outputs_TBH = unroll(cell, torch.zeros(5, 2, 1, dtype=torch.float64)).outputs_TBH
    x, wanted = 0.25, []
    for _ in range(5):
        x = 4.5 / (1 + np.exp(-x)) - 2.0  # the paper's form
        wanted.append(1 / (1 + np.exp(-x)))
    assert outputs_TBH.shape == (5, 2, 1)
    assert outputs_TBH[:, 1, 0].tolist() == pytest.approx(wanted, rel=1e-12)


def test_the_input_is_not_read(plugins) -> None:
    cell = plugins.get("cell", "one_unit").cls(1)
    outputs = [unroll(cell, torch.full((4, 1, 1), x)).outputs_TBH for x in (0.0, 9.0)]
    assert torch.equal(*outputs)


def test_the_task_asks_for_one_value(plugins) -> None:
    task = plugins.get("task", "one_unit").cls(3, target=0.25, length=9, batch_size=2)
    batch = task.batch("train", 0)
    assert batch.inputs_TBI.shape == (9, 2, 1)
    assert not batch.inputs_TBI.any()
    assert task.loss(torch.tensor([[0.75], [0.25]]), batch.targets).item() == 0.125
    assert torch.equal(task.batch("train", 7).targets, batch.targets)
    assert set(task.batch("val", 7).targets.flatten().tolist()) == {0.25}


def test_identity_head_hands_h_on(plugins) -> None:
    make = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(lambda size: make(size, hidden_size=3), 2, 3, head="identity")
    x = torch.randn(4, 1, 2)
    torch.testing.assert_close(network(x)[0], unroll(network.layers[0], x).outputs_TBH)
    assert not list(network.readout.parameters())


def test_identity_head_feeds_h_back(plugins) -> None:
    make = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(
        lambda size: make(size, hidden_size=3), 0, 3, head="identity", feedback=True
    )
    fed = network.initial_state((2,)).fed_back_BO
    assert fed is not None
    assert fed.shape == (2, 3)


def test_identity_head_needs_as_many_outputs_as_units(plugins) -> None:
    make = plugins.get("cell", "elman").cls
    with pytest.raises(ConfigError, match="8 hidden units and the task asks for 3 outputs"):
        RecurrentNetwork(lambda size: make(size, hidden_size=8), 2, 3, head="identity")
