from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.recurrence import Feed, RecurrentNetwork
from rnnexp.registry import Registry

T, B, I, H, O = 6, 3, 2, 4, 3  # noqa: E741


def _network(plugins: Registry, cell: str = "elman", **options) -> RecurrentNetwork:
    torch.manual_seed(0)
    cls = plugins.get("cell", cell).cls
    network = RecurrentNetwork(lambda size: cls(size, hidden_size=H), I, O, **options)
    return network.double()


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(T, B, I, dtype=torch.float64)


@pytest.fixture
def y() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(T, B, O, dtype=torch.float64)


def _same(a: Tensor, b: Tensor, atol: float = 1e-13) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def _gradients(network: RecurrentNetwork, outputs: Tensor) -> list[Tensor]:
    weight = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(3))
    return list(torch.autograd.grad((outputs * weight.double()).sum(), list(network.parameters())))


def test_every_step_follows_its_equation(plugins: Registry, x: Tensor) -> None:
    network = _network(plugins)
    cell, h, wanted = network.layers[0], torch.zeros(B, H, dtype=torch.float64), []
    for x_BI in x:
        h = torch.tanh(x_BI @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias_ih)
        wanted.append(h @ network.readout.weight.T + network.readout.bias)
    outputs, state = network(x)
    _same(outputs, torch.stack(wanted))
    _same(state.layers[0][0], h)
    assert state.fed_back_BO is None


def test_last_reads_the_last_step(plugins: Registry, x: Tensor) -> None:
    last, every = _network(plugins, readout="last"), _network(plugins)
    assert last(x)[0].shape == (B, O)
    _same(last(x)[0], every(x)[0][-1])


@pytest.mark.parametrize(("ours", "theirs"), [(1, 2), (2, 1)])
def test_a_state_of_another_depth_is_refused(
    plugins: Registry, x: Tensor, ours: int, theirs: int
) -> None:
    _, state = _network(plugins, layers=theirs)(x)
    with pytest.raises(ConfigError, match=f"of {theirs} cells, and this network has {ours}"):
        _network(plugins, layers=ours)(x, state)


@pytest.mark.parametrize("mode", ["teacher", "free"])
def test_feedback_follows_its_equation(plugins: Registry, x: Tensor, y: Tensor, mode: str) -> None:
    network = _network(plugins, feedback=True)
    cell, h, fed, wanted = network.layers[0], torch.zeros(B, H).double(), torch.zeros(B, O), []
    for t in range(T):
        both = torch.cat([x[t], fed.double()], -1)
        h = torch.tanh(both @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias_ih)
        wanted.append(network.readout(h))
        fed = y[t] if mode == "teacher" else wanted[-1]
    outputs, state = network(x, targets_TBO=y, feed=Feed(mode))
    _same(outputs, torch.stack(wanted))
    _same(state.fed_back_BO, fed)


def test_free_running_feeds_what_encode_output_makes(plugins: Registry, x: Tensor) -> None:
    def one_hot(output: Tensor) -> Tensor:
        return nn.functional.one_hot(output.argmax(-1), O).to(output.dtype)

    network = _network(plugins, feedback=True, encode_output=one_hot)
    outputs, state = network(x, feed=Feed.free())
    _same(state.fed_back_BO, one_hot(outputs[-1]))
    forced = network(x, targets_TBO=one_hot(outputs), feed=Feed.teacher())[0]
    _same(outputs, forced)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_what_is_fed_back_is_of_the_type_of_the_weights(
    plugins: Registry, x: Tensor, dtype: torch.dtype
) -> None:
    network = _network(plugins, feedback=True, encode_output=lambda y_BO: y_BO.float()).to(dtype)
    outputs, state = network(x.to(dtype), feed=Feed.free())
    assert (outputs.dtype, state.fed_back_BO.dtype) == (dtype, dtype)


@pytest.mark.parametrize("backend", ["auto", "loop"])
def test_stacked_layers_equal_torch(plugins: Registry, x: Tensor, backend: str) -> None:
    network = _network(plugins, "lstm", layers=2, backend=backend)
    vendor = nn.LSTM(I, H, num_layers=2).double()
    with torch.no_grad():
        for depth, cell in enumerate(network.layers):
            getattr(vendor, f"weight_ih_l{depth}").copy_(cell.weight_ih)
            getattr(vendor, f"weight_hh_l{depth}").copy_(cell.weight_hh)
            getattr(vendor, f"bias_ih_l{depth}").copy_(cell.bias_ih)
            getattr(vendor, f"bias_hh_l{depth}").zero_()
    hidden, (h, c) = vendor(x)
    outputs, state = network(x)
    _same(outputs, network.readout(hidden))
    for depth in range(2):
        _same(state.layers[depth][0], h[depth])
        _same(state.layers[depth][1], c[depth])


def test_each_layer_reads_the_width_of_the_one_below(plugins: Registry) -> None:
    units = iter([5, 5, 3, 3, 2, 2])
    make = plugins.get("cell", "lstm").cls
    network = RecurrentNetwork(
        lambda size: make(size, hidden_size=next(units)), I, O, layers=3, bidirectional=True
    )
    assert [cell.input_size for cell in network.layers] == [I, I, 10, 10, 6, 6]
    assert network(torch.zeros(T, B, I))[0].shape == (T, B, O)


def test_dropout_falls_between_layers_only(plugins: Registry, x: Tensor) -> None:
    single = _network(plugins, dropout=0.9).train()
    _same(single(x)[0], single.eval()(x)[0], 0)
    deep = _network(plugins, layers=2, dropout=0.9).train()
    assert not torch.equal(deep(x)[0], deep(x)[0])
    _same(deep.eval()(x)[0], _network(plugins, layers=2).eval()(x)[0], 0)


def test_full_dropout_leaves_the_upper_layer_its_own_past(plugins: Registry, x: Tensor) -> None:
    deep = _network(plugins, layers=2, dropout=1.0).train()
    _same(deep(x)[0], deep(torch.zeros_like(x))[0], 0)
    assert not torch.equal(deep(x)[1].layers[0][0], deep(torch.zeros_like(x))[1].layers[0][0])


def _stepwise(network: RecurrentNetwork, x: Tensor, y: Tensor) -> Tensor:
    state, outputs = None, []
    for t in range(T):
        output, state = network(x[t : t + 1], state, targets_TBO=y[t : t + 1], feed=Feed.teacher())
        outputs.append(output)
    return torch.cat(outputs)


@pytest.mark.parametrize("cell", ["jordan", "elman", "lstm"])
def test_teacher_forcing_at_once_equals_step_by_step(
    plugins: Registry, x: Tensor, y: Tensor, cell: str
) -> None:
    network = _network(plugins, cell, feedback=True)
    at_once, _ = network(x, targets_TBO=y, feed=Feed.teacher())
    in_turn = _stepwise(network, x, y)
    _same(at_once, in_turn)
    pairs = zip(_gradients(network, at_once), _gradients(network, in_turn), strict=True)
    for one, two in pairs:
        _same(one, two)


@pytest.mark.parametrize(("cell", "depends"), [("jordan", False), ("elman", True)])
def test_teacher_forced_step_depends_on_the_past_through_hidden_states_only(
    plugins: Registry, x: Tensor, y: Tensor, cell: str, depends: bool
) -> None:
    network = _network(plugins, cell, feedback=True)

    def outputs(given: Tensor) -> Tensor:
        return network(given, targets_TBO=y, feed=Feed.teacher())[0]

    jacobian = torch.autograd.functional.jacobian(outputs, x)  # T B O  T B I
    for t in range(1, T):
        assert bool(jacobian[t, :, :, :t].any()) == depends
        assert not jacobian[t - 1, :, :, t:].any()  # never on the future
        assert jacobian[t, :, :, t].any()


@pytest.mark.parametrize("cell", ["jordan", "elman"])
def test_scheduled_has_teacher_and_free_at_its_ends(
    plugins: Registry, x: Tensor, y: Tensor, cell: str
) -> None:
    network = _network(plugins, cell, feedback=True)
    always = network(x, targets_TBO=y, feed=Feed.scheduled(1.0))
    never = network(x, targets_TBO=y, feed=Feed.scheduled(0.0))
    teacher = network(x, targets_TBO=y, feed=Feed.teacher())
    free = network(x, feed=Feed.free())
    _same(always[0], teacher[0])
    _same(never[0], free[0])
    _same(never[1].fed_back_BO, free[1].fed_back_BO)
    assert not torch.equal(teacher[0], free[0])
    for one, two in zip(
        _gradients(network, always[0]), _gradients(network, teacher[0]), strict=True
    ):
        _same(one, two)


def test_no_gradient_flows_through_what_was_sampled(
    plugins: Registry, x: Tensor, y: Tensor
) -> None:
    network = _network(plugins, "jordan", feedback=True)
    one = torch.autograd.grad(
        network(x, targets_TBO=y, feed=Feed.scheduled(0.0))[0][-1].sum(), network.readout.bias
    )[0]
    _same(one, torch.full_like(one, B), 0)
    free = torch.autograd.grad(network(x, feed=Feed.free())[0][-1].sum(), network.readout.bias)[0]
    assert not torch.equal(free, one)


def test_scheduled_mixes_by_its_share(plugins: Registry) -> None:
    network = _network(plugins, "jordan", feedback=True)
    torch.manual_seed(4)
    rows = 20_000
    x, y = torch.zeros(1, rows, I).double(), torch.full((1, rows, O), 9.0).double()
    fed = network(x, targets_TBO=y, feed=Feed.scheduled(0.3))[1].fed_back_BO
    assert (fed[:, 0] == 9.0).double().mean().item() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("feed", "feedback"),
    [(Feed.teacher(), True), (Feed.free(), True), (Feed.teacher(), False)],
)
@pytest.mark.parametrize("cell", ["lstm", "jordan"])
def test_windows_with_carried_state_equal_the_whole(
    plugins: Registry, x: Tensor, y: Tensor, feed: Feed, feedback: bool, cell: str
) -> None:
    network = _network(plugins, cell, feedback=feedback, layers=2)
    whole, last = network(x, targets_TBO=y, feed=feed)
    state, parts = None, []
    for begin in (0, 4):
        window = slice(begin, begin + 4)
        output, state = network(x[window], state, targets_TBO=y[window], feed=feed)
        state = state.detach()
        parts.append(output)
    _same(torch.cat(parts), whole)
    for one, two in zip(state.layers, last.layers, strict=True):
        for s, wanted in zip(one, two, strict=True):
            _same(s, wanted)


def test_what_is_no_state_of_a_network_is_refused(plugins: Registry, x: Tensor) -> None:
    network = _network(plugins, "lstm")
    h = torch.zeros(B, H, dtype=torch.float64)
    for state, kind in (((h, h), "tuple"), (h, "Tensor")):
        with pytest.raises(ConfigError, match=f"expected a NetworkState, got a {kind}"):
            network(x, state)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"readout": "every-step"}, "readout=every-step is unknown. Did you mean 'every_step'"),
        ({"head": "linaer"}, "head=linaer is unknown. Did you mean 'linear'"),
        ({"layers": 0}, "layers: must be at least 1, got 0"),
        ({"layers": -1}, "layers: must be at least 1, got -1"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(
    plugins: Registry, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        _network(plugins, **options)


@pytest.mark.parametrize("feed", [None, Feed.scheduled(0.5)])
def test_targets_that_are_fed_back_must_be_given(plugins: Registry, feed: Feed | None) -> None:
    make_cell = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=3), 2, 1, feedback=True)
    with pytest.raises(ConfigError, match=r"Give targets_TBO .* or feed=Feed\.free\(\)"):
        network(torch.zeros(4, 2, 2), feed=feed)


def test_detached_state_cuts_the_gradient(plugins: Registry, x: Tensor) -> None:
    network = _network(plugins, feedback=True)
    given = x.clone().requires_grad_()
    _, state = network(given[:3], feed=Feed.free())
    goes_on = network(x[3:], state, feed=Feed.free())[0].sum()
    assert torch.autograd.grad(goes_on, given, retain_graph=True)[0].any()
    cut = network(x[3:], state.detach(), feed=Feed.free())[0].sum()
    assert torch.autograd.grad(cut, given, allow_unused=True)[0] is None
    _same(cut, goes_on, 0)


def test_input_grows_by_the_output_under_feedback(plugins: Registry) -> None:
    assert _network(plugins).layers[0].input_size == I
    network = _network(plugins, feedback=True, layers=2)
    assert [cell.input_size for cell in network.layers] == [I + O, H]


def test_feedback_starts_from_zeros(plugins: Registry) -> None:
    state = _network(plugins, "lstm", feedback=True).initial_state((2, B))
    assert torch.equal(state.fed_back_BO, torch.zeros(2, B, O, dtype=torch.float64))
    assert [s.shape for s in state.layers[0]] == [(2, B, H)] * 2
