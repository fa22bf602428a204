"""Recomputed activations and rows of different lengths, through every backend."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.discovery import load_plugins
from rnnexp.errors import ConfigError
from rnnexp.recurrence import BACKENDS, RecurrentNetwork, Series, Trace, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.recurrence.segments import Segment, plan
from rnnexp.registry import REGISTRY
from rnnexp.types import State

from .subjects import weigh

load_plugins()
I, H = 3, 4  # noqa: E741


def make(name: str) -> Cell:
    torch.manual_seed(0)
    return REGISTRY.get("cell", name).cls(I, hidden_size=H).double()


NAMES = [
    *("elman", "gru", "leaky", "lstm", "jordan"),
    *("echo_state", "lru", "md_rnn", "mlstm", "qrnn", "time_conv"),
]
"""They differ in the form of the state: none, vectors, matrices, past inputs, no numbers at all."""
PAIRS = [
    (name, backend)
    for name in NAMES
    for backend in BACKENDS
    if reason_against(backend, make(name)) is None
]
any_pair = pytest.mark.parametrize(("name", "backend"), PAIRS)


def draw(cell: Cell, steps: int, lead: tuple[int, ...]) -> tuple[Tensor, State]:
    generator = torch.Generator().manual_seed(1)

    def leaf(shape: Any) -> Tensor:
        return torch.randn(shape, generator=generator).double().requires_grad_()

    return leaf((steps, *lead, I)), tuple(leaf(s.shape) for s in cell.initial_state(lead))


def results(cell: Cell, x: Tensor, state: State, **options: Any) -> list[Tensor]:
    run = unroll(cell, x, state, **options)
    loss = weigh([run.outputs_TBH, *run.state])
    trained = [p for p in cell.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, [x, *state, *trained], materialize_grads=True)
    return [run.outputs_TBH.detach(), *(s.detach() for s in run.state), *grads]


def by_hand(cell: Cell, x: Tensor, state: State, lengths_B: Tensor) -> tuple[Tensor, State]:
    """Each row alone, for as many steps as it has."""
    outputs, last = [], []
    for row, length in enumerate(lengths_B.tolist()):
        own = tuple(s[row] for s in state)
        shown = []
        for t in range(length):
            output, own = cell.step(x[t, row], own)
            shown.append(output)
        blank = [torch.zeros_like(shown[0])] * (len(x) - length)
        outputs.append(torch.stack(shown + blank))
        last.append(own)
    return torch.stack(outputs, 1), tuple(torch.stack(column) for column in zip(*last, strict=True))


@any_pair
@settings(max_examples=6, deadline=None, derandomize=True)
@given(steps=st.integers(1, 9), every=st.integers(1, 10), batch=st.integers(1, 3))
def test_recomputed_gradients_are_the_same(
    name: str, backend: str, steps: int, every: int, batch: int
) -> None:
    cell = make(name)
    x, state = draw(cell, steps, (batch,))
    wanted = results(cell, x, state, backend=backend)
    found = results(cell, x, state, backend=backend, checkpoint_every=every)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (2, 3)])
def test_recomputation_takes_any_leading_axes(lead: tuple[int, ...]) -> None:
    cell = make("lstm")
    x, state = draw(cell, 7, lead)
    wanted = results(cell, x, state, backend="loop")
    found = results(cell, x, state, backend="loop", checkpoint_every=3)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "backend"), [p for p in PAIRS if BACKENDS[p[1]].shows != "nothing"]
)
def test_trace_is_put_together_from_segments(name: str, backend: str) -> None:
    cell = make(name)
    x, state = draw(cell, 8, (2,))
    norms = []
    for every in (None, 3):
        trace = Trace()
        run = unroll(cell, x, state, backend=backend, trace=trace, checkpoint_every=every)
        weigh([run.outputs_TBH, *run.state]).backward()
        assert trace.grad_norm_T is not None
        norms.append(trace.grad_norm_T)
    assert norms[0].shape == (8,)
    assert (norms[0] > 0).all()
    torch.testing.assert_close(norms[1], norms[0], rtol=1e-12, atol=1e-12)


def test_each_step_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    room = Trace.room

    def counted(self: Trace, steps: int, like: Tensor, series: Series = "grad_norm_T") -> Tensor:
        if series == "grad_norm_T":
            seen.append(steps)
        return room(self, steps, like, series)

    monkeypatch.setattr(Trace, "room", counted)
    cell = make("gru")
    x, state = draw(cell, 8, (2,))
    run = unroll(cell, x, state, backend="loop", trace=Trace(), checkpoint_every=3)
    run.outputs_TBH.sum().backward()
    assert seen == [8] * 8


def test_plan_of_segments() -> None:
    assert plan([7, 7], 3) == [Segment(0, 3, 2), Segment(3, 6, 2), Segment(6, 7, 2)]
    assert plan([6, 2, 2], 4) == [Segment(0, 2, 3), Segment(2, 4, 1), Segment(4, 6, 1)]
    assert plan([4], 9) == [Segment(0, 4, 1)]


def test_impossible_segments_are_refused_in_words() -> None:
    cell = make("lstm")
    with pytest.raises(ConfigError, match=r"checkpoint_every: must be at least 1, got 0\."):
        unroll(cell, torch.zeros(3, 2, I).double(), checkpoint_every=0)


@any_pair
@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_lengths_against_each_row_alone(name: str, backend: str, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, 7))
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=1, max_size=4))
    every = data.draw(st.sampled_from([None, 2]))
    cell, lengths_B = make(name), torch.tensor(lengths)
    x, state = draw(cell, steps, (len(lengths),))
    outputs, last = by_hand(cell, x, state, lengths_B)
    trained = [p for p in cell.parameters() if p.requires_grad]
    leaves = (x, *state, *trained)
    grads = torch.autograd.grad(weigh([outputs, *last]), leaves, materialize_grads=True)
    found = results(cell, x, state, backend=backend, lengths_B=lengths_B, checkpoint_every=every)
    torch.testing.assert_close(found, [outputs, *last, *grads], rtol=1e-9, atol=1e-12)


def test_padding_is_never_looked_at() -> None:
    cell = make("gru")
    x, state = draw(cell, 5, (2,))
    lengths_B = torch.tensor([2, 5])
    x = x.detach()
    x[2:, 0] = torch.nan
    x.requires_grad_()
    run = unroll(cell, x, state, lengths_B=lengths_B, check_finite=True)
    run.outputs_TBH.sum().backward()
    assert torch.isfinite(run.outputs_TBH).all()
    assert x.grad is not None
    assert (x.grad[2:, 0] == 0).all()
    assert (run.outputs_TBH[2:, 0] == 0).all()


@pytest.mark.parametrize("backend", ["pointwise", "loop"])
def test_lengths_with_leading_axes_and_a_trace(backend: str) -> None:
    cell = make("leaky")
    x, state = draw(cell, 6, (2, 3))
    lengths_B = torch.tensor([[1, 6, 3], [2, 2, 4]])
    trace = Trace()
    run = unroll(cell, x, state, backend=backend, lengths_B=lengths_B, trace=trace)
    flat = tuple(s.reshape(6, H) for s in state)
    outputs, last = by_hand(cell, x.reshape(6, 6, I), flat, lengths_B.flatten())
    torch.testing.assert_close(run.outputs_TBH.reshape(6, 6, H), outputs)
    torch.testing.assert_close(run.state[0].reshape(6, H), last[0])
    run.outputs_TBH[-1].sum().backward()
    assert trace.grad_norm_T is not None
    assert (trace.grad_norm_T[:-1] > 0).all()
    assert trace.grad_norm_T[-1] == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
def test_full_lengths_take_the_straight_way(dtype: torch.dtype) -> None:
    cell = make("lstm")
    x, state = draw(cell, 5, (3,))
    found = results(cell, x, state, lengths_B=torch.full((3,), 5, dtype=dtype))
    assert all(torch.equal(a, b) for a, b in zip(found, results(cell, x, state), strict=True))


@pytest.mark.parametrize(
    ("lengths_B", "words"),
    [
        (torch.tensor([3, 6]), r"shape \(2,\) must lie in 1\.\.5, .* got 6\."),
        (torch.tensor([0, 5]), r"shape \(2,\) must lie in 1\.\.5, .* got 0\."),
        (torch.tensor([-1, 5]), r"got -1\."),
        (torch.tensor([1, 2, 3]), r"expected shape \(2,\).*\(5, 2, 3\), got shape \(3,\)\."),
        (torch.tensor([1.0, 2.0]), r"whole numbers, got torch\.float32 of shape \(2,\)\."),
        (torch.tensor([True, True]), r"whole numbers, got torch\.bool"),
        ([1, 2], r"expected a tensor of whole numbers, got \[1, 2\]\."),
    ],
)
def test_bad_lengths_are_refused_in_words(lengths_B: Any, words: str) -> None:
    cell = make("lstm")
    with pytest.raises(ConfigError, match="^lengths_B: .*" + words):
        unroll(cell, torch.zeros(5, 2, I).double(), lengths_B=lengths_B)


def network(**options: Any) -> RecurrentNetwork:
    torch.manual_seed(3)
    cls = REGISTRY.get("cell", "gru").cls
    return RecurrentNetwork(lambda size: cls(size, hidden_size=H), I, 2, **options).double()


@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_network_reads_each_row_to_its_own_end(readout: Any) -> None:
    deep = network(layers=2, readout=readout)
    x, lengths = torch.randn(6, 3, I).double(), [4, 6, 1]
    outputs, state = deep(x, lengths_B=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone, own = deep(x[:length, row : row + 1])
        shown = outputs[row] if readout == "last" else outputs[:length, row]
        torch.testing.assert_close(shown, alone[0] if readout == "last" else alone[:, 0])
        torch.testing.assert_close(state.layers[1][0][row], own.layers[1][0][0])
        if readout == "every_step":
            assert (outputs[length:, row] == 0).all()


@pytest.mark.parametrize("mode", ["teacher", "free"])
@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_feedback_stops_at_each_rows_end(mode: Any, readout: Any) -> None:
    from rnnexp.recurrence import Feed

    fed = network(feedback=True, readout=readout)
    x, targets, lengths = torch.randn(5, 2, I).double(), torch.randn(5, 2, 2).double(), [2, 5]
    feed = Feed(mode)
    outputs, state = fed(x, targets_TBO=targets, feed=feed, lengths_B=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        cut = slice(row, row + 1)
        alone, own = fed(x[:length, cut], targets_TBO=targets[:length, cut], feed=feed)
        shown = outputs[row] if readout == "last" else outputs[:length, row]
        torch.testing.assert_close(shown, alone[0] if readout == "last" else alone[:, 0])
        torch.testing.assert_close(state.fed_back_BO[row], own.fed_back_BO[0])
        torch.testing.assert_close(state.layers[0][0][row], own.layers[0][0][0])


def test_network_recomputes() -> None:
    plain, sparing = network(layers=2), network(layers=2, checkpoint_every=2)
    x = torch.randn(7, 3, I).double()
    for one in (plain, sparing):
        one(x)[0].square().sum().backward()
    for a, b in zip(plain.parameters(), sparing.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)
