"""What arrives of the gradient that enters at the last step alone, by every backend."""

import pytest
import torch
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.recurrence import BACKENDS, Feed, RecurrentNetwork, Series, Trace, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import Registry

SERIES: tuple[Series, ...] = ("grad_norm_T", "entering_norm_T", "arriving_norm_T")
T, B, H, N = 9, 3, 8, 6
POINTWISE = ["elman", "gru", "lstm", "phased_lstm", "clockwork", "tau_gru"]
OTHERS = ["conv_lstm", "md_rnn", "mlstm", "scrn", "min_gru", "lru", "qrnn", "intersection_rnn"]


def made(plugins: Registry, name: str) -> Cell:
    torch.manual_seed(0)
    return plugins.get("cell", name).cls(4, hidden_size=H).double()


def inputs() -> Tensor:
    return torch.randn(T, B, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def weights() -> Tensor:
    """Of a loss at every step but the last two."""
    weight_TBH = torch.randn(T, B, H, dtype=torch.float64)
    weight_TBH[N + 1 :] = 0
    return weight_TBH


def by_hand(cell: Cell, weight_TBH: Tensor) -> list[float]:
    """Take the gradient of the output of step N back, state by state, each tensor a variable."""
    given, made, state = [], [], cell.initial_state((B,))
    for x_BI in inputs():
        state = tuple(s.detach().requires_grad_() for s in state)
        given.append(state)
        _, state = cell.step(x_BI, state)
        made.append(state)
    grads = (weight_TBH[N], *map(torch.zeros_like, state[1:]))
    norms = [0.0] * T
    for t in range(N, -1, -1):
        moving = [grads[i].square().sum() for i in cell.moving_states(len(grads))]
        norms[t] = float(sum(moving) ** 0.5)
        pairs = [(s, g) for s, g in zip(made[t], grads, strict=True) if s.requires_grad]
        new, seeds = zip(*pairs, strict=True)
        grads = torch.autograd.grad(new, given[t], seeds, allow_unused=True, materialize_grads=True)
    return norms


def ways(cell: Cell, weight_TBH: Tensor, lengths_B: Tensor | None = None) -> dict[str, Trace]:
    """Run by all backends, in one piece and in parts."""
    found: dict[str, Trace] = {}
    for backend in BACKENDS:
        if reason_against(backend, cell, "norms") is not None:
            continue
        for every in (None, 4):
            trace = Trace(follows_last=True)
            run = unroll(
                cell,
                inputs(),
                backend=backend,
                trace=trace,
                checkpoint_every=every,
                lengths_B=lengths_B,
            )
            (run.outputs_TBH * weight_TBH).sum().backward()
            found[f"{backend} every {every}"] = trace
    return found


@pytest.mark.parametrize("name", POINTWISE)
def test_what_arrives_is_what_each_step_hands_back(plugins: Registry, name: str) -> None:
    cell, weight_TBH = made(plugins, name), weights()
    wanted = by_hand(cell, weight_TBH)
    assert wanted[N] == pytest.approx(float(weight_TBH[N].norm()))
    for way, trace in ways(cell, weight_TBH).items():
        assert trace.arriving_norm_T is not None
        assert trace.arriving_norm_T.tolist() == pytest.approx(wanted, rel=1e-9), way


@pytest.mark.parametrize("lengths", [None, [9, 3, 8]])
@pytest.mark.parametrize("name", [*POINTWISE, *OTHERS])
def test_all_backends_and_parts_show_the_same(
    plugins: Registry, name: str, lengths: list[int] | None
) -> None:
    lengths_B = None if lengths is None else torch.tensor(lengths)
    found = ways(made(plugins, name), weights(), lengths_B)
    loop = found.pop("loop every None")
    assert loop.arriving_norm_T is not None
    assert (loop.arriving_norm_T[:N] > 0).all()
    assert (loop.arriving_norm_T[N + 1 :] == 0).all()
    for way, trace in found.items():
        for series in SERIES:
            mine, theirs = getattr(trace, series), getattr(loop, series)
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12, msg=f"{series}, {way}")


@pytest.mark.parametrize("name", ["time_conv", "jordan"])
def test_what_carries_nothing_shows_nothing(plugins: Registry, name: str) -> None:
    for trace in ways(made(plugins, name), weights()).values():
        assert trace.entering_norm_T is not None
        assert trace.arriving_norm_T is None


@pytest.mark.parametrize("name", ["lstm", "gru", "conv_lstm", "min_gru"])
def test_to_follow_it_changes_no_gradient(plugins: Registry, name: str) -> None:
    cell, weight_TBH = made(plugins, name), weights()
    for backend in BACKENDS:
        if reason_against(backend, cell, "norms") is not None:
            continue
        found: list[list[Tensor]] = []
        for trace in (None, Trace(), Trace(follows_last=True)):
            run = unroll(cell, inputs(), backend=backend, trace=trace)
            loss = (run.outputs_TBH * weight_TBH).sum()
            found.append(list(torch.autograd.grad(loss, list(cell.parameters()))))
        if backend == "loop":  # whose sums autograd makes in another order
            torch.testing.assert_close(found[2], found[0], rtol=1e-12, atol=1e-12)
        else:
            assert all(torch.equal(a, b) for a, b in zip(found[0], found[2], strict=True)), backend
        assert trace is not None
        assert trace.arriving_norm_T is not None


def test_a_graph_that_is_kept_may_be_followed_again(plugins: Registry) -> None:
    cell, trace = made(plugins, "lstm"), Trace(follows_last=True)
    loss = (unroll(cell, inputs(), trace=trace).outputs_TBH * weights()).sum()
    loss.backward(retain_graph=True)
    once = trace.arriving_norm_T
    loss.backward()
    assert once is not None
    torch.testing.assert_close(trace.arriving_norm_T, once, rtol=0, atol=0)


def test_step_by_step_it_goes_on_from_part_to_part(plugins: Registry) -> None:
    found: list[list[Tensor | None]] = []
    make = plugins.get("cell", "lstm").cls
    for mode in ("teacher", "free"):
        torch.manual_seed(0)
        network = RecurrentNetwork(lambda i: make(i, hidden_size=H), 4, 2, layers=2, feedback=True)
        network = network.double()
        network.cells[0].weight_ih.data[:, 4:] = 0  # what is fed back makes no difference
        traces = [Trace(follows_last=True) for _ in network.layers]
        targets_TBO = torch.zeros(T, B, 2, dtype=torch.float64)
        feed = Feed.teacher() if mode == "teacher" else Feed.free()
        outputs_TBO, _ = network(inputs(), targets_TBO=targets_TBO, feed=feed, traces=traces)
        outputs_TBO[:-1].square().sum().backward()
        found.append([trace.arriving_norm_T for trace in traces])
    for together, by_step in zip(*found, strict=True):
        assert together is not None
        torch.testing.assert_close(by_step, together, rtol=1e-9, atol=1e-12)


def test_of_one_target_and_one_tensor_it_is_the_gradient_itself(plugins: Registry) -> None:
    weight_TBH = weights()
    weight_TBH[:N] = 0
    for trace in ways(made(plugins, "gru"), weight_TBH).values():
        torch.testing.assert_close(trace.arriving_norm_T, trace.grad_norm_T, rtol=1e-12, atol=0)
