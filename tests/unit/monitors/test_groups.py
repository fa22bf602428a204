import math
import time

import pytest
import torch

from rnnexp.monitors.groups import (
    GroupNorms,
    cell_name,
    dominating,
    group_of,
    is_reverse,
    layer_of,
    split_group,
    total,
)
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import Registry


def network_of(plugins: Registry, cell: str, layers: int = 1) -> RecurrentNetwork:
    torch.manual_seed(0)
    make = plugins.get("cell", cell).cls
    return RecurrentNetwork(lambda size: make(size, hidden_size=16), 3, 2, layers=layers)


def with_gradients(network: RecurrentNetwork) -> GroupNorms:
    outputs, _ = network(torch.randn(10, 4, 3))
    outputs.square().sum().backward()
    return GroupNorms(network)


@pytest.mark.parametrize("cell", ["elman", "leaky", "lstm", "gru", "jordan"])
@pytest.mark.parametrize("layers", [1, 3])
def test_groups_make_up_the_global_norm(plugins, cell: str, layers: int) -> None:
    network = network_of(plugins, cell, layers)
    norms = with_gradients(network).measure()
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert total(norms) == pytest.approx(float(torch.nn.utils.get_total_norm(grads)), rel=1e-6)
    assert all(norm > 0 for norm in norms.values())


def test_names_of_the_groups(plugins) -> None:
    norms = with_gradients(network_of(plugins, "leaky", 2)).measure()
    assert set(norms) == {
        *(f"layer{n}.{kind}" for n in (0, 1) for kind in ("input", "recurrent", "bias", "cell")),
        "readout",
    }


def test_a_group_holds_the_norm_of_its_parameters(plugins) -> None:
    network = network_of(plugins, "gru")
    norms = with_gradients(network).measure()
    cell = network.layers[0]
    biases = torch.cat([cell.bias_ih.grad, cell.bias_hh.grad])
    assert norms["layer0.bias"] == pytest.approx(float(biases.norm()), rel=1e-6)
    assert norms["layer0.recurrent"] == pytest.approx(float(cell.weight_hh.grad.norm()), rel=1e-6)


def test_without_gradients_all_are_zero(plugins) -> None:
    norms = GroupNorms(network_of(plugins, "elman")).measure()
    assert set(norms.values()) == {0.0}
    assert len(norms) == 4


def test_a_frozen_group_is_zero(plugins) -> None:
    network = network_of(plugins, "elman")
    network.layers[0].weight_ih.requires_grad_(False)
    norms = with_gradients(network).measure()
    assert norms["layer0.input"] == 0.0
    assert norms["layer0.recurrent"] > 0.0


@pytest.mark.parametrize("size", [1e30, 1e16, 1e-16, 1e-30])
@pytest.mark.parametrize("cell", ["elman", "lru"])  # whose gradients are complex
def test_norms_neither_overflow_nor_vanish(plugins, cell: str, size: float) -> None:
    network = network_of(plugins, cell)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, size)
    wanted = size * math.sqrt(sum(p.numel() for p in network.parameters()))
    assert total(GroupNorms(network).measure()) == pytest.approx(wanted, rel=1e-6)
    assert GroupNorms(network).total() == pytest.approx(wanted, rel=1e-6)


def test_a_gradient_that_is_infinite_has_an_infinite_norm(plugins) -> None:
    network = network_of(plugins, "elman")
    network.readout.bias.grad = torch.tensor([1.0, math.inf])
    network.readout.weight.grad = torch.full_like(network.readout.weight, math.nan)
    assert not math.isfinite(GroupNorms(network).measure()["readout"])


def test_dominating_and_its_parts() -> None:
    assert (
        dominating({"layer0.input": 1.0, "layer1.recurrent": 3.0, "readout": 2.0})
        == "layer1.recurrent"
    )
    assert dominating({"layer0.input": 9.0, "readout": math.nan}) == "readout"
    assert dominating({"layer0.input": math.inf, "readout": 9.0}) == "layer0.input"
    assert split_group("layer11.recurrent") == ("recurrent", "layer11")
    assert split_group("readout") == ("readout", "")
    assert [layer_of(cell) for cell in ("layer11", "layer2_reverse", "")] == [11, 2, None]


def test_of_groups_that_are_not_finite_the_nearest_to_the_loss_dominates() -> None:
    groups = ["layer0.input", "layer9.recurrent", "layer10.input", "layer10.bias"]
    lost = dict.fromkeys(groups, math.nan)
    assert dominating(lost) == "layer10.input"
    assert dominating({**lost, "readout": math.inf, "cell": math.inf}) == "readout"


def test_cells_of_two_directions_share_the_number_of_their_layer() -> None:
    names = ["layer0", "layer0_reverse", "layer1", "layer1_reverse"]
    assert [cell_name(i, 2) for i in range(4)] == names
    assert [is_reverse(name) for name in names] == [False, True, False, True]
    assert group_of("cells.3.weight_hh", 2) == "layer1_reverse.recurrent"


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("cells.0.weight_hh", "layer0.recurrent"),
        ("cells.12.bias_ih", "layer12.bias"),
        ("cells.1.inner.weight_ih", "layer1.input"),
        ("cells.1.leak_logit", "layer1.cell"),
        ("cells.1.parametrizations.weight_hh.original", "layer1.recurrent"),
        ("cells.0.parametrizations.weight_ih.original0", "layer0.input"),
        ("readout.bias", "readout"),
        ("network.cells.0.bias_hh", "layer0.bias"),
        ("network.readout.parametrizations.weight.0.scale", "readout"),
        ("task.log_sigma", "task"),
    ],
)
def test_group_of(name: str, group: str) -> None:
    assert group_of(name) == group


def test_is_cheap(plugins) -> None:
    norms = with_gradients(network_of(plugins, "lstm", 2))
    seconds = []
    for _ in range(300):
        begun = time.perf_counter()
        norms.measure()
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 100e-6
