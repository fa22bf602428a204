"""What arrives of the gradient that enters last, where the outputs are fed back."""

import pytest
import torch
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.recurrence import BACKENDS, Feed, RecurrentNetwork, Trace
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import Registry

T, B, H, N = 9, 3, 6, 6
CELLS = ["elman", "lstm", "gru", "phased_lstm", "tau_gru", "conv_lstm", "jordan", "time_conv"]


def network_of(plugins: Registry, name: str, **options: object) -> RecurrentNetwork:
    torch.manual_seed(0)
    make = plugins.get("cell", name).cls
    network = RecurrentNetwork(
        lambda size: make(size, hidden_size=H), 2, 4, layers=2, feedback=True, **options
    )
    return network.double()


def inputs() -> Tensor:
    return torch.randn(T, B, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def traced(network: RecurrentNetwork, feed: Feed) -> list[Trace]:
    """Fill traces by a loss at every step but the last two."""
    traces = [Trace(follows_last=True) for _ in network.layers]
    targets_TBO = torch.zeros(T, B, 4, dtype=torch.float64)
    outputs, _ = network(inputs(), targets_TBO=targets_TBO, feed=feed, traces=traces)
    outputs[: N + 1].square().sum().backward()
    return traces


def apart(tensor: Tensor) -> Tensor:
    """Make another variable than that which the output is made of."""
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.clone().requires_grad_()


def by_hand(network: RecurrentNetwork) -> list[list[float]]:
    """Write the graph out, each tensor of a state a variable of its own, and ask autograd."""
    cells = network.layers
    states = [cell.initial_state((B,)) for cell in cells]
    y_BO = torch.zeros(B, 4, dtype=torch.float64)
    outs: list[list[Tensor]] = [[] for _ in cells]
    rest: list[list[list[Tensor]]] = [[] for _ in cells]
    for x_BI in inputs()[: N + 1]:
        below = torch.cat([x_BI, y_BO], -1)
        for i, cell in enumerate(cells):
            below, state = cell.step(below, states[i])
            states[i] = tuple(apart(s) if k else s for k, s in enumerate(state))
            outs[i].append(below)
            rest[i].append([states[i][k] for k in cell.moving_states(len(state)) if k])
        y_BO = network.readout(below)
    return [norms_by_hand(y_BO, *each) for each in zip(outs, rest, strict=True)]


def norms_by_hand(y_BO: Tensor, outs: list[Tensor], rest: list[list[Tensor]]) -> list[float]:
    (seed,) = torch.autograd.grad(y_BO, outs[N], 2 * y_BO, retain_graph=True)
    norms = [0.0] * T
    norms[N] = float(seed.norm())
    for t in range(N):
        places = [outs[t], *rest[t]]
        grads = torch.autograd.grad(
            outs[N], places, seed, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms[t] = float(torch.cat([g.flatten() for g in grads]).norm())
    return norms


def backends_of(cell: Cell) -> list[str]:
    return [name for name in BACKENDS if reason_against(name, cell, "norms") is None]


@pytest.mark.parametrize("name", CELLS)
def test_it_comes_back_by_the_state_and_by_the_output_alike(plugins: Registry, name: str) -> None:
    wanted = by_hand(network_of(plugins, name))
    for backend in backends_of(network_of(plugins, name).layers[0]):
        for trace, norms in zip(
            traced(network_of(plugins, name, backend=backend), Feed.free()), wanted, strict=True
        ):
            assert trace.arriving_norm_T is not None
            assert trace.arriving_norm_T.tolist() == pytest.approx(norms, rel=1e-9), backend
            assert trace.grad_norm_T is not None
            assert trace.entering_norm_T is None, "of which no more than the sum is known"


@pytest.mark.parametrize("name", ["mlstm", "min_gru", "md_rnn"])
def test_no_figure_where_h_is_no_tensor_of_the_state(plugins: Registry, name: str) -> None:
    for trace in traced(network_of(plugins, name), Feed.free()):
        assert trace.arriving_norm_T is None
        assert trace.grad_norm_T is not None


@pytest.mark.parametrize("name", ["elman", "jordan"])
def test_what_is_fed_back_without_a_gradient_is_no_way(plugins: Registry, name: str) -> None:
    network = network_of(plugins, name, encode_output=lambda output_BO: output_BO.detach().sign())
    for feed in (Feed.scheduled(0.5), Feed.free()):
        for trace in traced(network, feed):
            assert trace.entering_norm_T is not None
            assert (trace.arriving_norm_T is None) == (name == "jordan")


@pytest.mark.parametrize("name", ["lstm", "jordan"])
def test_to_follow_it_changes_no_gradient(plugins: Registry, name: str) -> None:
    found: list[list[Tensor]] = []
    for follows in (False, True):
        network = network_of(plugins, name)
        traces = [Trace(follows_last=follows) for _ in network.layers]
        outputs, _ = network(inputs(), feed=Feed.free(), traces=traces)
        grads = torch.autograd.grad(outputs.square().sum(), list(network.parameters()))
        found.append([*grads, *(t.grad_norm_T for t in traces if t.grad_norm_T is not None)])
        assert all((t.arriving_norm_T is not None) == follows for t in traces)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
