"""The scan over time against one step after the other: outputs, gradients, the trace, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnexp.errors import ConfigError
from rnnexp.recurrence import RecurrentNetwork, Trace, choose_backend, unroll
from rnnexp.recurrence import scan as module
from rnnexp.recurrence.scan import linear_scan
from rnnexp.registry import Registry

B, I, H = 3, 2, 4  # noqa: E741
LINEAR = {
    "min_gru": {},
    "min_lstm": {},
    "lru": {"states": 5},
    "sru": {"gates_see_state": False},
    "qrnn": {"width": 3, "pooling": "ifo"},
    "time_conv": {"width": 4},
}


@pytest.fixture(autouse=True)
def _rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEW", 2)  # so that short sequences go through rounds, too


def _one_by_one(a: Tensor, b: Tensor, s: Tensor) -> Tensor:
    found = []
    for a_t, b_t in zip(a.expand_as(b), b, strict=True):
        s = a_t * s + b_t
        found.append(s)
    return torch.stack(found)


def _assert_same(one: list[Tensor], two: list[Tensor], atol: float = 1e-9) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


def _with_gradients(found: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    loss = torch.zeros((), dtype=torch.float64)
    for k, t in enumerate(found):
        real = torch.view_as_real(t) if t.is_complex() else t
        rng = torch.Generator().manual_seed(k)
        loss = loss + (real * torch.randn(real.shape, generator=rng, dtype=real.dtype)).sum()
    grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [*found, *grads]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(1, 70),
    width=st.integers(0, 5),
    number=st.sampled_from([torch.float64, torch.complex128]),
    constant=st.booleans(),
    seed=st.integers(0, 99),
)
def test_scan_equals_one_step_after_the_other(
    steps: int, width: int, number: torch.dtype, constant: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    a = torch.randn(*(() if constant else (steps, B)), width, dtype=number)
    a = (a / a.abs().clamp(min=1)).requires_grad_()
    b = torch.randn(steps, B, width, dtype=number, requires_grad=True)
    first = torch.randn(B, width, dtype=number, requires_grad=True)
    leaves = [a, b, first]
    own = _with_gradients([linear_scan(a, b, first)], leaves)
    _assert_same(own, _with_gradients([_one_by_one(a, b, first)], leaves))


def test_scan_passes_gradcheck() -> None:
    a, b = (torch.rand(9, B, H, dtype=torch.float64, requires_grad=True) for _ in range(2))
    first = torch.rand(B, H, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(linear_scan, (a, b, first))


def test_shut_gates_do_no_harm() -> None:
    a = torch.full((50, B, H), 1e-30).requires_grad_()
    a.data[::3] = 0.0
    b = torch.randn(50, B, H)
    found = linear_scan(a, b, torch.ones(B, H))
    torch.testing.assert_close(found, _one_by_one(a, b, torch.ones(B, H)), rtol=1e-6, atol=0)
    found.sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()


def test_wide_steps_are_done_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, join, rounds = torch.rand(40, B, H), torch.randn(40, B, H), module._join, []

    def counted(*arguments: Tensor) -> None:
        rounds.append(len(arguments[1]))
        join(*arguments)

    monkeypatch.setattr(module, "_join", counted)
    in_rounds = module.scan(a, b, b[0])
    assert rounds == [39, 19, 9, 4, 2]
    monkeypatch.setattr(module, "_WIDE", 0)
    rounds.clear()
    _assert_same([module.scan(a, b, b[0])], [in_rounds], 1e-5)
    assert rounds == [39]


def _make(plugins: Registry, name: str, inputs: int = I):
    torch.manual_seed(0)
    return plugins.get("cell", name).cls(inputs, hidden_size=H, **LINEAR[name]).double()


def _run(cell, x: Tensor, state, backend: str, **options: object) -> list[Tensor]:
    leaves = [t.detach().requires_grad_() for t in (x, *state)]
    done = unroll(cell, leaves[0], tuple(leaves[1:]), backend=backend, **options)
    return _with_gradients([done.outputs_TBH, *done.state], [*leaves, *cell.parameters()])


@pytest.mark.parametrize("steps", [1, 2, 3, 17, 40])
@pytest.mark.parametrize("name", LINEAR)
def test_cell_equals_its_loop_from_a_carried_state(
    plugins: Registry, name: str, steps: int
) -> None:
    cell = _make(plugins, name)
    x = torch.randn(steps, 2, B, I, dtype=torch.float64)
    state = tuple(torch.randn_like(s) for s in cell.initial_state((2, B)))
    _assert_same(_run(cell, x, state, "scan"), _run(cell, x, state, "loop"))


@pytest.mark.parametrize("name", LINEAR)
def test_rows_of_different_lengths_and_recomputed_segments(plugins: Registry, name: str) -> None:
    cell = _make(plugins, name)
    x, state = torch.randn(20, B, I, dtype=torch.float64), cell.initial_state((B,))
    options = {"lengths_B": torch.tensor([7, 20, 1]), "checkpoint_every": 6}
    _assert_same(_run(cell, x, state, "scan", **options), _run(cell, x, state, "loop", **options))


@pytest.mark.parametrize("name", LINEAR)
def test_windows_carry_all_of_the_state(plugins: Registry, name: str) -> None:
    cell = _make(plugins, name)
    x = torch.randn(21, B, I, dtype=torch.float64)
    whole = unroll(cell, x, backend="scan").outputs_TBH
    first = unroll(cell, x[:2], backend="scan")
    second = unroll(cell, x[2:], first.state, backend="scan")
    _assert_same([torch.cat([first.outputs_TBH, second.outputs_TBH])], [whole])


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_in_both_directions(plugins: Registry, name: str, bidirectional: bool) -> None:
    found = []
    for backend in ("scan", "loop"):
        network = RecurrentNetwork(
            lambda inputs: _make(plugins, name, inputs),
            I,
            2,
            layers=2,
            backend=backend,
            bidirectional=bidirectional,
            head="linear",
        ).double()
        with torch.no_grad():
            network.readout.weight.copy_(
                torch.linspace(-1, 1, network.readout.weight.numel()).view_as(
                    network.readout.weight
                )
            )
            network.readout.bias.zero_()
        torch.manual_seed(1)
        x = torch.randn(12, B, I, dtype=torch.float64, requires_grad=True)
        outputs, _ = network(x, lengths_B=torch.tensor([5, 12, 9]))
        found.append(_with_gradients([outputs], [x, *network.parameters()]))
    _assert_same(*found)


@pytest.mark.parametrize("name", LINEAR)
def test_trace_is_that_of_the_loop(plugins: Registry, name: str) -> None:
    cell, norms = _make(plugins, name), []
    x = torch.randn(30, B, I, dtype=torch.float64)
    for backend in ("scan", "loop"):
        trace = Trace()
        outputs = unroll(cell, x, trace=trace, backend=backend).outputs_TBH
        outputs[-1].square().sum().backward()
        norms.append(trace.grad_norm_T)
    _assert_same([norms[0]], [norms[1]])
    # What comes back over time is there, not only what each output adds.
    assert bool((norms[0][-3:-1] > 0).all()) == (name != "time_conv")


def test_auto_takes_the_scan(plugins: Registry) -> None:
    taken = {name: choose_backend(_make(plugins, name)) for name in LINEAR}
    assert set(taken.values()) == {"scan"}


def test_other_cells_are_refused_in_words(plugins: Registry) -> None:
    lstm = plugins.get("cell", "lstm").cls(I, hidden_size=H)
    with pytest.raises(ConfigError, match=r"backend=scan cannot run LSTM: it is no LinearCell"):
        choose_backend(lstm, "scan")
    sru = plugins.get("cell", "sru").cls(I, hidden_size=H)
    with pytest.raises(ConfigError, match=r"cannot run SRU: .*coefficients depend on the state"):
        choose_backend(sru, "scan")


def test_second_derivatives_are_refused() -> None:
    a = torch.rand(5, B, H, requires_grad=True)
    loss = linear_scan(a, torch.ones(5, B, H), torch.zeros(B, H)).sum()
    with pytest.raises(
        ConfigError, match=r"backend=scan has no second derivatives.*unroll.backend=loop"
    ):
        torch.autograd.grad(loss, a, create_graph=True)
