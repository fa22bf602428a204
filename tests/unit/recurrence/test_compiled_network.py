"""torch.compile around a network: the same figures, and a process that still takes gradients."""

from collections.abc import Iterator

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from rnnexp.recurrence import Feed, RecurrentNetwork, inside_torch, unroll
from rnnexp.registry import Registry

# Of torch's own compiler, which looks at every tensor.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def network_of(registry: Registry, cell: str = "gru", **options) -> RecurrentNetwork:
    make = registry.get("cell", cell).cls
    torch.manual_seed(0)
    return RecurrentNetwork(lambda i: make(i, hidden_size=4), 3, 2, **options)


def gradients(network: RecurrentNetwork) -> list[torch.Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_network_gives_the_same_and_trains(plugins: Registry, backend: str) -> None:
    network = network_of(plugins, layers=2)
    compiled = torch.compile(network_of(plugins, layers=2), backend=backend)
    x_TBI = torch.randn(5, 2, 3)
    for net in (compiled, network):  # the compiled one first: nothing is known of its cells yet
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            net(x_TBI)[0].square().mean().backward()
            optimizer.step()
    assert torch.is_grad_enabled()
    for (name, a), b in zip(network.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_a_compiled_training_step_trains(plugins: Registry) -> None:
    network, twin = network_of(plugins), network_of(plugins)
    x_TBI = torch.randn(5, 2, 3)

    def step(net: RecurrentNetwork) -> None:
        net(x_TBI)[0].square().mean().backward()

    torch.compile(step, backend="aot_eager")(network)
    step(twin)
    torch.testing.assert_close(gradients(network), gradients(twin))


def test_a_compiled_network_lives_with_its_own_output(plugins: Registry) -> None:
    network = network_of(plugins, feedback=True)
    x_TBI = torch.randn(3, 2, 3)
    expected, _ = network(x_TBI, feed=Feed.free())
    given, _ = torch.compile(network, backend="eager")(x_TBI, feed=Feed.free())
    torch.testing.assert_close(given, expected)


def test_the_loop_itself_is_compiled_where_it_is_asked_for(plugins: Registry) -> None:
    cell = plugins.get("cell", "gru").cls(3, hidden_size=4)
    counter, x_TBI = CompileCounter(), torch.randn(5, 2, 3)

    def run(inputs_TBI: torch.Tensor) -> torch.Tensor:
        return unroll(cell, inputs_TBI, backend="loop").outputs_TBH

    given = torch.compile(run, backend=counter)(x_TBI)
    torch.testing.assert_close(given, run(x_TBI))
    assert counter.op_count > 10 * len(x_TBI)


def test_a_torch_that_has_changed_inside_is_told_officially(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other() -> bool:
        return torch.compiler.is_compiling()

    monkeypatch.setattr(inside_torch, "_find", lambda name: None)
    wrapped = inside_torch.not_compiled(other)

    def outer() -> bool:
        return wrapped()

    assert torch.compile(outer, backend="eager")() is False
