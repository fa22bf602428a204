"""What cells promise beyond their equations: forms of matrices, numbers that stay finite, words."""

import numpy as np
import pytest
import torch
from torch import nn

from rnnexp.errors import ConfigError
from rnnexp.recurrence import Feed, RecurrentNetwork, Trace, unroll
from rnnexp.registry import Registry

T, B, I, H = 6, 2, 4, 8  # noqa: E741


def _make(plugins: Registry, name: str, inputs: int = I, hidden: int = H, **options: object):
    torch.manual_seed(0)
    return plugins.get("cell", name).cls(inputs, hidden_size=hidden, **options).double()


@pytest.mark.parametrize(
    ("kind", "torchs"),
    [("exp", "matrix_exp"), ("cayley", "cayley"), ("householder", "householder")],
)
def test_orthogonal_matrix_is_torchs(plugins: Registry, kind: str, torchs: str) -> None:
    cell = _make(plugins, "exp_rnn", map=kind)
    with torch.no_grad():
        cell.weight_hh.add_(torch.randn_like(cell.weight_hh))
    matrix = cell.recurrent_weight()
    eye = torch.eye(H, dtype=torch.float64)
    torch.testing.assert_close(matrix @ matrix.mT, eye, rtol=0, atol=1e-12)
    layer = nn.utils.parametrizations.orthogonal(
        nn.Linear(H, H, bias=False, dtype=torch.float64),
        orthogonal_map=torchs,
        use_trivialization=False,
    )
    free = layer.parametrizations.weight.original.data.copy_(cell.weight_hh.detach())
    free.fill_diagonal_(1.0)  # where torch keeps the signs of the columns
    torch.testing.assert_close(matrix, layer.weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["exp", "cayley"])
def test_orthogonal_start_turns_pairs(plugins: Registry, kind: str) -> None:
    matrix = _make(plugins, "exp_rnn", map=kind).recurrent_weight().detach()
    blocks = torch.block_diag(*[matrix[k : k + 2, k : k + 2] for k in range(0, H, 2)])
    torch.testing.assert_close(matrix, blocks, rtol=0, atol=1e-12)
    angles = torch.atan2(matrix[1::2, ::2].diagonal(), matrix.diagonal()[::2])
    assert angles.abs().max() <= (np.pi if kind == "exp" else np.pi / 2)
    assert len(angles.unique()) == H // 2


def test_orthogonal_network_keeps_the_gradient(plugins: Registry) -> None:
    cell = _make(plugins, "exp_rnn")
    h = torch.randn(B, H, dtype=torch.float64, requires_grad=True)
    last = unroll(cell, torch.zeros(300, B, I, dtype=torch.float64), (h,)).state[0]
    (grad,) = torch.autograd.grad(last, h, weight := torch.randn_like(last))
    torch.testing.assert_close(grad.norm(), weight.norm(), rtol=1e-9, atol=0)


def test_irnn_starts_as_an_identity(plugins: Registry) -> None:
    cell = _make(plugins, "irnn")
    assert torch.equal(cell.weight_hh, torch.eye(H, dtype=torch.float64))
    assert 0 < cell.weight_ih.abs().max() < 0.01
    assert not cell.bias_ih.any()
    h = torch.rand(B, H, dtype=torch.float64)
    kept = unroll(cell, torch.zeros(50, B, I, dtype=torch.float64), (h,)).state[0]
    assert torch.equal(kept, h)


def test_reservoir_is_scaled_sparse_and_fixed(plugins: Registry) -> None:
    cell = _make(plugins, "echo_state", hidden=60, spectral_radius=0.7, density=0.1)
    matrix = cell.weight_hh.detach()
    assert torch.linalg.eigvals(matrix).abs().max().item() == pytest.approx(0.7, abs=1e-6)
    assert 0.05 < (matrix != 0).double().mean() < 0.15
    assert not any(p.requires_grad for p in cell.parameters())


def test_reservoir_without_an_echo_becomes_a_ring(plugins: Registry) -> None:
    matrix = _make(plugins, "echo_state", hidden=3, density=1e-9).weight_hh
    radii = torch.linalg.eigvals(matrix.detach()).abs()
    torch.testing.assert_close(radii, torch.full_like(radii, 0.9), rtol=1e-6, atol=0)


def test_slow_groups_hold_what_they_have(plugins: Registry) -> None:
    cell = _make(plugins, "clockwork", groups=4, base=3)
    outputs = unroll(cell, torch.randn(28, B, I, dtype=torch.float64)).outputs_TBH
    moved = (outputs[1:] != outputs[:-1]).any(1)
    slowest, fastest = moved[:, -1], moved[:, 0]
    assert slowest.nonzero().flatten().tolist() == [26]  # steps 0 and 27 alone
    assert fastest.all()


def test_fast_groups_do_not_reach_slow_ones(plugins: Registry) -> None:
    matrix = _make(plugins, "clockwork", groups=2).recurrent_weight()
    assert not matrix[H // 2 :, : H // 2].any()
    assert matrix[: H // 2].any()


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("name", ["slstm", "mlstm"])
def test_exponential_gates_stay_finite(plugins: Registry, name: str, forget: str) -> None:
    cell = _make(plugins, name, forget=forget).float()
    x = (300 * torch.randn(60, B, I)).requires_grad_()
    outputs = unroll(cell, x).outputs_TBH
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert outputs.abs().max() > 0.01
    assert all(p.grad.isfinite().all() for p in cell.parameters())


def test_shut_gates_of_min_lstm_stay_finite(plugins: Registry) -> None:
    cell = _make(plugins, "min_lstm").float()
    with torch.no_grad():
        cell.bias_ih[: 2 * H].fill_(-500.0)  # both sigmoids are 0: f / (f + i) is 0 / 0
    outputs = unroll(cell, torch.randn(T, B, I)).outputs_TBH
    assert outputs.isfinite().all()


def test_lru_starts_in_its_ring(plugins: Registry) -> None:
    cell = _make(plugins, "lru", hidden=50, least_radius=0.5, largest_radius=0.8, largest_phase=0.3)
    turn, _ = cell.coefficients(torch.zeros(1, I, dtype=torch.float64))
    assert 0.5 <= turn.abs().min() < turn.abs().max() <= 0.8
    assert 0 < turn.angle().min() < turn.angle().max() <= 0.3


def test_mlstm_finds_what_it_stored(plugins: Registry) -> None:
    cell, d = _make(plugins, "mlstm", inputs=2 * H), H
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        query, key, value, _ = cell.weight_ih.split(d)
        query[:, :d] = key[:, :d] = torch.eye(d)
        value[:, d:] = torch.eye(d)
        key *= d**0.5
        cell.bias_ih[3 * d :] = 100.0  # shows all
        cell.bias_gate[1:] = 100.0  # forgets nothing
    pairs = torch.cat([torch.eye(d), torch.randn(d, d)], -1).double().unsqueeze(1)
    ask = torch.cat([torch.eye(d)[3], torch.zeros(d)]).double().view(1, 1, -1)
    found = unroll(cell, torch.cat([pairs, ask])).outputs_TBH[-1, 0]
    # The question is stored, too, with a value of nothing: its key counts twice.
    torch.testing.assert_close(found, pairs[3, 0, d:] / 2, rtol=0, atol=1e-12)


def _correlate(image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Channels over rows and columns, one number at a time; beyond the edges is zero."""
    _, rows, columns = image.shape
    high, wide = filters.shape[2] // 2, filters.shape[3] // 2
    padded = np.pad(image, ((0, 0), (high, high), (wide, wide)))
    found = np.zeros((len(filters), rows, columns))
    for y in range(rows):
        for x in range(columns):
            seen = padded[:, y : y + 2 * high + 1, x : x + 2 * wide + 1]
            found[:, y, x] = (filters * seen).sum((1, 2, 3))
    return found


@pytest.mark.parametrize(("height", "width"), [(1, 4), (2, 3)])
def test_conv_lstm_follows_its_equation(plugins: Registry, height: int, width: int) -> None:
    positions = height * width
    options = {"positions": positions, "height": height}
    cell = _make(plugins, "conv_lstm", 3 * positions, 2 * positions, **options)
    with torch.no_grad():
        cell.peephole.normal_()
    w = {name: p.detach().numpy() for name, p in cell.named_parameters()}
    x = torch.randn(T, 1, 3 * positions, dtype=torch.float64)
    found = unroll(cell, x).outputs_TBH.detach().numpy()
    h = c = np.zeros((2, height, width))
    peephole = w["peephole"].reshape(3, 2, height, width)
    for t in range(T):
        image = x[t].numpy().reshape(3, height, width)
        total = _correlate(image, w["weight_ih"]) + _correlate(h, w["weight_hh"])
        i, f, g, o = np.split(total + w["bias_ih"][:, None, None], 4)
        i, f = (1 / (1 + np.exp(-v - p * c)) for v, p in ((i, peephole[0]), (f, peephole[1])))
        c = f * c + i * np.tanh(g)
        h = np.tanh(c) / (1 + np.exp(-o - peephole[2] * c))
        np.testing.assert_allclose(found[t, 0], h.ravel(), rtol=0, atol=1e-12)


def test_md_rnn_sees_only_what_lies_above_and_to_the_left(plugins: Registry) -> None:
    cell = _make(plugins, "md_rnn", 1, columns=4)
    x = torch.randn(16, 1, 1, dtype=torch.float64, requires_grad=True)
    outputs = unroll(cell, x).outputs_TBH
    (grad,) = torch.autograd.grad(outputs[9].sum(), x)  # row 2, column 1
    seen = grad.flatten().nonzero().flatten().tolist()
    assert seen == [4 * row + column for row in range(3) for column in range(2)]


@pytest.mark.parametrize("name", ["mlstm", "md_rnn", "lru", "qrnn", "conv_lstm", "lmu"])
def test_fed_step_by_step_with_rows_that_end(plugins: Registry, name: str) -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork(
        lambda size: plugins.get("cell", name).cls(size, hidden_size=H), I, I, feedback=True
    ).double()
    x, targets = (torch.randn(T, 3, I, dtype=torch.float64) for _ in range(2))
    lengths = torch.tensor([2, 6, 4])
    given = {"targets_TBO": targets, "feed": Feed.free()}
    outputs, state = network(x, lengths_B=lengths, **given)
    for row, length in enumerate(lengths.tolist()):
        alone, own = network(x[:length, row], **given | {"targets_TBO": targets[:length, row]})
        torch.testing.assert_close(outputs[:length, row], alone, rtol=0, atol=1e-12)
        for kept, wanted in zip(state.layers[0], own.layers[0], strict=True):
            torch.testing.assert_close(kept[row], wanted, rtol=0, atol=1e-12)


WRONG = [
    ("ctrnn", {"tau": 0.5}, "0 < dt <= tau"),
    ("clockwork", {"base": 1}, r"at least 1 and 2.*base=1"),
    ("lipschitz_rnn", {"beta": 0.4}, "beta=0.4"),
    ("phased_lstm", {"open_share": 0.0}, "0 < open_share <= 1"),
    ("lru", {"largest_radius": 1.0}, "largest_radius < 1"),
    ("lru", {"states": 0}, "cell.states: must be at least 1, got 0"),
    ("lru", {"largest_phase": 0.0}, "above 0, got 0.0"),
    ("qrnn", {"width": 0}, "cell.width: must be at least 1, got 0"),
    ("time_conv", {"width": 0}, "cell.width: must be at least 1, got 0"),
    ("lmu", {"order": 0}, "order=0"),
    ("mlstm", {"heads": 3}, "must divide cell.hidden_size=8, got 3"),
    ("conv_lstm", {"positions": 3}, "positions=3 must divide the 4 inputs"),
    ("conv_lstm", {"positions": 4, "height": 3}, "divide the 4 positions of the image, got 3"),
    ("conv_lstm", {"kernel": 2}, "must be odd and at least 1, got 2"),
    ("md_rnn", {"columns": 0}, "cell.columns: must be at least 1, got 0"),
    ("echo_state", {"leak": 0.0}, "0 < leak <= 1"),
]


@pytest.mark.parametrize(("name", "options", "words"), WRONG)
def test_impossible_options_are_refused(
    plugins: Registry, name: str, options: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        _make(plugins, name, **options)


def test_lipschitz_rnn_passes_the_gradient_on_over_many_steps(plugins: Registry) -> None:
    cell = _make(plugins, "lipschitz_rnn", hidden=64)
    trace = Trace()
    outputs_TBH = unroll(cell, torch.randn(784, B, I, dtype=torch.float64), trace=trace).outputs_TBH
    assert outputs_TBH.abs().max() < 1e3
    outputs_TBH[-1].sum().backward()
    assert trace.grad_norm_T is not None
    assert 0.1 < trace.grad_norm_T[0] / trace.grad_norm_T[-1] < 100


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_slstm_has_its_gradient_where_a_gate_is_at_zero(plugins: Registry, forget: str) -> None:
    cell = _make(plugins, "slstm", forget=forget)
    zeros_BGH = torch.zeros(B, 4, H, dtype=torch.float64)
    state = tuple(torch.randn(B, H, dtype=torch.float64) for _ in range(3))
    wx_BGH = zeros_BGH.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda wx: cell.update(wx, zeros_BGH, state), (wx_BGH,))
