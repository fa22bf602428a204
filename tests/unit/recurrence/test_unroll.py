import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.errors import ConfigError, PluginError
from rnnexp.recurrence import BACKENDS, FullTrace, Shown, Trace, choose_backend, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import Registry

T, B, I, H = 6, 2, 3, 4  # noqa: E741


class Counter(Cell):
    """A general cell, no pointwise one: it adds up what it sees."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size, hidden_size=input_size)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def initial_state(self, batch_shape):
        return (self.zeros(batch_shape),)

    def step(self, x_BI: Tensor, state):
        total = state[0] + self.scale * x_BI
        return 2 * total, (total,)


class Growing(Counter):
    """Each step adds a batch axis."""

    def step(self, x_BI: Tensor, state):
        total = state[0].unsqueeze(0) + x_BI.unsqueeze(1)
        return total, (total,)


class Forgetful(Counter):
    """Returns no state."""

    def step(self, x_BI: Tensor, state):
        return x_BI, ()


class Wide(Counter):
    """Returns more units than it has."""

    def step(self, x_BI: Tensor, state):
        return torch.cat([x_BI, x_BI], -1), state


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Growing, r"Growing: .* state\[0\] .* expected shape \(2, 3\), got \(2, 2, 3\)"),
        (Forgetful, "the state .* expected 1 tensors, got 0"),
        (Wide, r"the output .* expected shape \(..., 3\), got \(2, 6\)"),
    ],
)
def test_a_step_of_other_shapes_is_refused_at_once(cls: type[Cell], said: str) -> None:
    with pytest.raises(PluginError, match=said):
        unroll(cls(I), torch.randn(1000, B, I))


@pytest.fixture
def cell(plugins: Registry) -> Cell:
    torch.manual_seed(0)
    return plugins.get("cell", "lstm").cls(I, hidden_size=H).double()


def test_general_cell_is_stepped() -> None:
    x = torch.randn(T, B, I)
    run = unroll(Counter(I), x)
    assert run.backend == "loop"
    torch.testing.assert_close(run.outputs_TBH, 2 * x.cumsum(0))
    torch.testing.assert_close(run.state[0], x.sum(0))


@pytest.mark.parametrize("shape", [(I,), (), (0, B, I), (T, B, I + 1), (T, I, B)])
def test_wrong_input_is_refused_in_words(cell: Cell, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        unroll(cell, torch.zeros(shape, dtype=torch.float64))
    assert str(caught.value) == (
        f"inputs: expected shape (T, ..., B, {I}) with T >= 1, got {shape}."
    )


@pytest.mark.parametrize(("name", "meant"), [("lop", r".*'loop'.*"), (None, r"\. ")])
def test_unknown_backend_is_refused_in_words(cell: Cell, name: Any, meant: str) -> None:
    known = ", ".join(sorted(["auto", *BACKENDS]))
    said = rf"unroll\.backend={name} is unknown{meant}Known: {known}\."
    with pytest.raises(ConfigError, match=said):
        unroll(cell, torch.zeros(T, B, I), backend=name)


def test_invalid_backend_says_why(plugins: Registry, cell: Cell) -> None:
    leaky = plugins.get("cell", "leaky").cls(I, hidden_size=H)
    with pytest.raises(ConfigError, match=r"backend=vendor cannot run Leaky: torch.nn has no"):
        choose_backend(leaky, "vendor")
    with pytest.raises(ConfigError, match=r"backend=parallel cannot run LSTM: its state carries"):
        choose_backend(cell, "parallel")
    with pytest.raises(
        ConfigError, match=r"backend=vendor cannot run LSTM: of dL/dh_t .* shows nothing"
    ):
        choose_backend(cell, "vendor", needed="norms")


@pytest.mark.parametrize("needed", ["nothing", "norms", "gradients"])
def test_auto_takes_a_valid_backend(plugins: Registry, needed: Shown) -> None:
    for entry in plugins.all("cell"):
        cell = entry.cls(I, hidden_size=H)
        assert reason_against(choose_backend(cell, needed=needed), cell, needed) is None


@pytest.mark.parametrize("backend", ["native", "pointwise", "vendor", "loop"])
@pytest.mark.parametrize("shapes", [[(1, 4)], [(4,)], [(3, 1)], [(3, 4), (3, 4)], []])
def test_wrong_state_is_refused_in_words_by_every_backend(
    plugins: Registry, backend: str, shapes: list[tuple[int, ...]]
) -> None:
    elman = plugins.get("cell", "elman").cls(2, hidden_size=4)
    state = tuple(torch.zeros(shape) for shape in shapes)
    with pytest.raises(ConfigError, match=r"state: expected 1 tensors of shape \(3, 4\)"):
        unroll(elman, torch.zeros(5, 3, 2), state, backend=backend)


@pytest.mark.parametrize("backend", ["vendor", "loop"])
@pytest.mark.parametrize("window", [1, 2, 4])
def test_windows_with_carried_state_equal_the_whole(cell: Cell, backend: str, window: int) -> None:
    x = torch.randn(T, B, I, dtype=torch.float64)
    whole = unroll(cell, x, backend=backend)
    state, parts = None, []
    for part in x.split(window):
        run = unroll(cell, part, state, backend=backend)
        state = tuple(s.detach() for s in run.state)
        parts.append(run.outputs_TBH)
    torch.testing.assert_close(torch.cat(parts), whole.outputs_TBH, rtol=0, atol=1e-14)
    for one, two in zip(state, whole.state, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-14)


@pytest.mark.parametrize("batch_shape", [(), (B,), (2, B), (2, 1, B)])
def test_vendor_keeps_any_leading_axes(cell: Cell, batch_shape: tuple[int, ...]) -> None:
    x = torch.randn(T, *batch_shape, I, dtype=torch.float64)
    one, two = unroll(cell, x, backend="vendor"), unroll(cell, x, backend="loop")
    assert one.outputs_TBH.shape == (T, *batch_shape, H)
    torch.testing.assert_close(one.outputs_TBH, two.outputs_TBH, rtol=0, atol=1e-14)
    assert [s.shape for s in one.state] == [s.shape for s in two.state]


def _tiny_elman(plugins: Registry, w: float, r: float, b: float) -> Cell:
    cell = plugins.get("cell", "elman").cls(1, hidden_size=1).double()
    with torch.no_grad():
        for weight, value in ((cell.weight_ih, w), (cell.weight_hh, r), (cell.bias_ih, b)):
            weight.fill_(value)
    return cell


@pytest.mark.parametrize("backend", ["vendor", "loop"])
def test_three_steps_by_hand(plugins: Registry, backend: str) -> None:
    """L = h_3 of one tanh unit; with D_t = 1 - h_t^2 the chain rule gives the sums below."""
    w, r, b, (x1, x2, x3) = 0.5, -0.8, 0.1, (1.0, -2.0, 0.3)
    h1 = math.tanh(w * x1 + b)
    h2 = math.tanh(w * x2 + r * h1 + b)
    h3 = math.tanh(w * x3 + r * h2 + b)
    d1, d2, d3 = 1 - h1**2, 1 - h2**2, 1 - h3**2
    by_hand = {
        "weight_hh": d3 * (h2 + r * d2 * h1),
        "weight_ih": d3 * (x3 + r * d2 * (x2 + r * d1 * x1)),
        "bias_ih": d3 * (1 + r * d2 * (1 + r * d1)),
    }
    cell = _tiny_elman(plugins, w, r, b)
    x = torch.tensor([x1, x2, x3], dtype=torch.float64).view(3, 1, 1)
    out = unroll(cell, x, backend=backend).outputs_TBH[-1].squeeze()
    out.backward()
    assert out.item() == pytest.approx(h3, abs=1e-15)
    for name, value in by_hand.items():
        assert getattr(cell, name).grad.item() == pytest.approx(value, abs=1e-15)


def test_three_steps_by_hand_in_whole_numbers(plugins: Registry) -> None:
    """h_t = relu(x_t + 2 h_{t-1} + 1) of 1, 2, 3 is 2, 7, 18; every slope is 1."""
    cell = plugins.get("cell", "elman").cls(1, hidden_size=1, nonlinearity="relu").double()
    with torch.no_grad():
        for weight, value in ((cell.weight_ih, 1), (cell.weight_hh, 2), (cell.bias_ih, 1)):
            weight.fill_(value)
    out = unroll(cell, torch.tensor([1.0, 2.0, 3.0]).double().view(3, 1, 1)).outputs_TBH
    assert out.flatten().tolist() == [2, 7, 18]
    out[-1].backward()
    assert cell.weight_ih.grad.item() == 3 + 2 * 2 + 4 * 1
    assert cell.weight_hh.grad.item() == 7 + 2 * 2
    assert cell.bias_ih.grad.item() == 1 + 2 + 4


def test_trace_by_hand(plugins: Registry) -> None:
    cell = _tiny_elman(plugins, 1.0, 0.5, 0.0)
    x = torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64).view(3, 1, 1)
    trace = Trace()
    out = unroll(cell, x, trace=trace).outputs_TBH
    assert trace.grad_norm_T is None
    out[-1].backward()
    h = out.flatten().tolist()
    d3, d2 = 0.5 * (1 - h[2] ** 2), 0.5 * (1 - h[1] ** 2)
    assert trace.grad_norm_T.tolist() == pytest.approx([d2 * d3, d3, 1.0], abs=1e-15)


def test_trace_of_a_step_without_gradient_is_zero(cell: Cell) -> None:
    trace = Trace()
    out = unroll(cell, torch.randn(T, B, I, dtype=torch.float64), trace=trace).outputs_TBH
    out[2].sum().backward()
    assert trace.grad_norm_T[3:].tolist() == [0.0] * (T - 3)
    assert bool((trace.grad_norm_T[:3] > 0).all())


@pytest.mark.parametrize("backend", ["loop", "pointwise"])
@pytest.mark.parametrize("lead", [(B,), (2, B)])
def test_full_trace_has_the_gradients_and_the_states(
    cell: Cell, backend: str, lead: tuple[int, ...]
) -> None:
    x, trace = torch.randn(T, *lead, I, dtype=torch.float64), FullTrace()
    state, states, outputs = cell.initial_state(lead), [], []
    for x_BI in x:
        states.append(state)
        out_BH, state = cell.step(x_BI, state)
        outputs.append(out_BH)
    torch.stack(outputs).sin().sum().backward(inputs=outputs)
    unroll(cell, x, backend=backend, trace=trace).outputs_TBH.sin().sum().backward()
    wanted = torch.stack([out.grad for out in outputs]).flatten(1, -2)
    torch.testing.assert_close(trace.grad_TBH, wanted, rtol=1e-12, atol=1e-14)
    for found, column in zip(trace.states, zip(*states, strict=True), strict=True):
        torch.testing.assert_close(found, torch.stack(column).flatten(1, -2), rtol=0, atol=1e-12)
    assert trace.inputs_TBI is not None
    assert torch.equal(trace.inputs_TBI, x.flatten(1, -2))


def test_full_trace_refuses_pieces(cell: Cell) -> None:
    x = torch.randn(T, B, I, dtype=torch.float64)
    with pytest.raises(ConfigError, match=r"in one piece only: without unroll\.checkpoint_every"):
        unroll(cell, x, trace=FullTrace(), checkpoint_every=2)
