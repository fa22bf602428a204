"""Cells while torch traces them or fakes their numbers, and what is known of them afterwards."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from rnnexp.errors import ConfigError
from rnnexp.recurrence import Feed, RecurrentNetwork, choose_backend, unroll
from rnnexp.recurrence.backends import BACKENDS, reason_against
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.registry import Registry

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")


class Outputs(nn.Module):
    """A module whose output is a tensor."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_TBI: Tensor) -> Tensor:
        return unroll(self.cell, x_TBI).outputs_TBH


def made(plugins: Registry, name: str, units: int) -> Any:
    # Of a size of its own: no twin of it has been examined.
    return plugins.get("cell", name).cls(3, hidden_size=units)


def network_of(plugins: Registry, name: str, **options: Any) -> RecurrentNetwork:
    make = plugins.get("cell", name).cls
    return RecurrentNetwork(lambda i: make(i, hidden_size=4), 3, 2, **options).eval()


def exported(module: nn.Module, x_TBI: Tensor) -> Any:
    return torch.export.export(module, (x_TBI,)).module()


def traced(module: nn.Module, x_TBI: Tensor) -> Any:
    return torch.jit.trace(module, x_TBI, check_trace=False)


def recorded(module: nn.Module, x_TBI: Tensor) -> Any:
    return make_fx(module)(x_TBI)


WAYS = {"export": exported, "jit": traced, "make_fx": recorded}


@pytest.mark.filterwarnings("ignore")  # of a trace: Python decides the number of steps
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["gru", "leaky", "min_gru"])
def test_a_trace_computes_the_same_and_nothing_is_known_of_it(
    plugins: Registry, name: str, way: str
) -> None:
    units = 31 + list(WAYS).index(way)
    module = Outputs(made(plugins, name, units)).requires_grad_(False)
    found = WAYS[way](module, torch.randn(4, 2, 3))
    fresh = made(plugins, name, units + 10)
    assert choose_backend(module.cell) == choose_backend(fresh)
    for backend in BACKENDS:
        assert reason_against(backend, module.cell) == reason_against(backend, fresh)
    x_TBI = torch.randn(4, 2, 3)
    torch.testing.assert_close(found(x_TBI), module(x_TBI))


def test_a_cell_that_has_run_can_be_exported(plugins: Registry) -> None:
    module = Outputs(made(plugins, "leaky", 5)).requires_grad_(False)
    x_TBI = torch.randn(4, 2, 3)
    outputs_TBH = unroll(module.cell, x_TBI, backend="pointwise").outputs_TBH
    torch.testing.assert_close(exported(module, x_TBI)(x_TBI), outputs_TBH)


def test_a_network_is_exported_for_any_rows_and_goes_on_from_its_state(plugins: Registry) -> None:
    network = network_of(plugins, "lstm", layers=2)
    rows = torch.export.Dim("rows")
    x_TBI, of_state = torch.randn(4, 2, 3), {0: rows}
    shapes = {"inputs_TBI": {1: rows}, "state": [((of_state,) * 2,) * 2]}
    given = (x_TBI, network.initial_state((2,)))
    module = torch.export.export(network, given, dynamic_shapes=shapes).module()
    x_TBI = torch.randn(4, 5, 3)
    state = network(x_TBI)[1]
    expected, after = network(x_TBI, state)
    outputs_TBO, last = module(x_TBI, state)
    torch.testing.assert_close(outputs_TBO, expected)
    torch.testing.assert_close(last.layers, after.layers)


def test_a_network_that_lives_with_its_own_output_is_exported(plugins: Registry) -> None:
    network = network_of(plugins, "gru", feedback=True)
    free, x_TBI = {"feed": Feed.free()}, torch.randn(4, 2, 3)
    module = torch.export.export(network, (x_TBI,), free).module()
    x_TBI = torch.randn(4, 2, 3)
    torch.testing.assert_close(module(x_TBI, **free)[0], network(x_TBI, **free)[0])


@pytest.mark.parametrize("feedback", [False, True])
def test_a_network_of_loops_is_exported_strictly(plugins: Registry, feedback: bool) -> None:
    network = network_of(plugins, "gru", feedback=feedback, backend="loop")
    free, x_TBI = {"feed": Feed.free()}, torch.randn(3, 2, 3)
    module = torch.export.export(network, (x_TBI,), free, strict=True).module()
    torch.testing.assert_close(module(x_TBI, **free)[0], network(x_TBI, **free)[0])


@pytest.mark.parametrize("name", ["elman", "gru", "leaky", "min_gru"])
def test_fake_tensors_have_shapes(plugins: Registry, name: str) -> None:
    with FakeTensorMode():
        cell = made(plugins, name, 5)
        assert unroll(cell, torch.randn(4, 2, 3)).outputs_TBH.shape == (4, 2, 5)


@pytest.mark.parametrize("backend", ["native", "pointwise"])
def test_fake_weights_are_refused_outside_their_mode(plugins: Registry, backend: str) -> None:
    with FakeTensorMode():
        cell, x_TBI = made(plugins, "leaky", 5), torch.randn(4, 2, 3)
    assert "a FakeTensor cannot look into" in str(reason_against(backend, cell))
    assert unroll(cell, x_TBI).outputs_TBH.shape == (4, 2, 5)


@needs_compiler
def test_native_loops_refuse_fake_inputs(plugins: Registry) -> None:
    with FakeTensorMode():
        x_TBI = torch.randn(4, 2, 3)
    with pytest.raises(ConfigError, match="got a FakeTensor"):
        unroll(made(plugins, "leaky", 5), x_TBI, backend="native")
