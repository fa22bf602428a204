import numpy as np
import pytest
import torch

from rnnexp.errors import ConfigError
from rnnexp.recurrence import unroll
from rnnexp.registry import Registry

T, B, I, H = 6, 3, 2, 5  # noqa: E741


def _make(plugins: Registry, name: str, **options: object):
    torch.manual_seed(0)
    return plugins.get("cell", name).cls(I, hidden_size=H, **options).double()


def _leaky_by_numpy(x, W, R, b, leak, h):
    hidden = []
    for x_t in x:
        h = (1 - leak) * h + leak * np.tanh(x_t @ W.T + h @ R.T + b)
        hidden.append(h)
    return np.stack(hidden)


def test_leaky_follows_its_equation(plugins: Registry) -> None:
    cell = _make(plugins, "leaky", leak=0.8, slowest_leak=0.05)
    with torch.no_grad():
        cell.bias_ih.normal_()
    x, h = torch.randn(T, B, I, dtype=torch.float64), torch.randn(B, H, dtype=torch.float64)
    leak = 1 / (1 + np.exp(-cell.leak_logit.detach().numpy()))
    weights = [w.detach().numpy() for w in (cell.weight_ih, cell.weight_hh, cell.bias_ih)]
    wanted = _leaky_by_numpy(x.numpy(), *weights, leak, h.numpy())
    np.testing.assert_allclose(unroll(cell, x, (h,)).outputs_TBH.detach(), wanted, atol=1e-13)


def test_leaks_are_spread_on_a_log_scale(plugins: Registry) -> None:
    leak = torch.sigmoid(_make(plugins, "leaky", leak=0.5, slowest_leak=0.005).leak_logit.detach())
    ratios = leak[1:] / leak[:-1]
    assert leak[0].item() == pytest.approx(0.005, rel=1e-4)
    assert leak[-1].item() == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(ratios, ratios[:1].expand(H - 1), rtol=1e-4, atol=0)


@pytest.mark.parametrize("trainable", [True, False])
def test_leak_is_learned_if_asked(plugins: Registry, trainable: bool) -> None:
    cell = _make(plugins, "leaky", trainable=trainable)
    unroll(cell, torch.randn(T, B, I, dtype=torch.float64)).outputs_TBH.sum().backward()
    assert (cell.leak_logit.grad is not None) == trainable
    assert "leak_logit" in cell.state_dict()


def test_leak_of_one_is_the_simple_network(plugins: Registry) -> None:
    leaky, elman = _make(plugins, "leaky", leak=1.0, trainable=False), _make(plugins, "elman")
    x = torch.randn(T, B, I, dtype=torch.float64)
    torch.testing.assert_close(unroll(leaky, x).outputs_TBH, unroll(elman, x).outputs_TBH)
    assert (torch.sigmoid(leaky.leak_logit) == 1).all()
    assert leaky.leak_logit.isfinite().all()


def test_a_leak_that_is_learned_can_leave_one(plugins: Registry) -> None:
    leaky = _make(plugins, "leaky", leak=1.0)
    torch.testing.assert_close(
        torch.sigmoid(leaky.leak_logit), torch.full((H,), 0.99, dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("leak", "slowest"), [(0.0, None), (1.1, None), (0.5, 0.6), (0.5, 0.0), (float("nan"), None)]
)
def test_impossible_leak_is_refused(plugins: Registry, leak: float, slowest: float | None) -> None:
    with pytest.raises(ConfigError, match=r"cell\.leak, cell\.slowest_leak: .*got leak="):
        _make(plugins, "leaky", leak=leak, slowest_leak=slowest)


def test_forget_bias_sets_the_forget_gate_alone(plugins: Registry) -> None:
    bias = _make(plugins, "lstm", forget_bias=3.0).bias_ih.detach().view(4, H)
    assert torch.equal(bias[1], torch.full((H,), 3.0, dtype=torch.float64))
    assert not bias[[0, 2, 3]].any()


def test_open_forget_gate_remembers(plugins: Registry) -> None:
    cell = _make(plugins, "lstm", forget_bias=50.0)
    with torch.no_grad():
        cell.bias_ih.view(4, H)[0].fill_(-50.0)  # nothing is written
    c = torch.randn(B, H, dtype=torch.float64)
    start = (torch.zeros_like(c), c)
    last = unroll(cell, torch.randn(50, B, I, dtype=torch.float64), start).state[1]
    torch.testing.assert_close(last, c, rtol=0, atol=1e-12)


def test_fast_rnn_begins_with_shares_that_add_up_to_one(plugins: Registry) -> None:
    cell = _make(plugins, "fast_rnn")
    shares = [torch.sigmoid(cell.alpha).item(), torch.sigmoid(cell.beta).item()]
    assert shares == pytest.approx([0.0474, 0.9526], abs=1e-4)
    h = torch.randn(B, H, dtype=torch.float64, requires_grad=True)
    last = unroll(cell, torch.randn(400, B, I, dtype=torch.float64), (h,)).state[0]
    grad = torch.autograd.grad(last, h, torch.ones_like(last))[0]
    assert grad.norm() < torch.ones_like(last).norm(), "it does not explode"


def test_hidden_size_below_one_is_refused(plugins: Registry) -> None:
    for entry in plugins.all("cell"):
        with pytest.raises(ConfigError, match=r"cell\.hidden_size: must be at least 1, got 0\."):
            entry.cls(I, hidden_size=0)


def test_jordan_is_one_layer_of_the_input_and_what_is_fed_back(plugins: Registry) -> None:
    cell = plugins.get("cell", "jordan").cls(5, hidden_size=4).double()
    with torch.no_grad():
        cell.bias_ih.normal_()
    x_TBI = torch.randn(6, 3, 5, dtype=torch.float64)
    outputs_TBH = unroll(cell, x_TBI).outputs_TBH.detach().numpy()
    weight_HxI, bias_H = cell.weight_ih.detach().numpy(), cell.bias_ih.detach().numpy()
    wanted_TBH = np.tanh(x_TBI.numpy() @ weight_HxI.T + bias_H)
    np.testing.assert_allclose(outputs_TBH, wanted_TBH, rtol=1e-12)


def test_an_initialisation_that_a_cell_offers_is_taken(plugins: Registry) -> None:
    # Neither draws numbers: what differs is of the option, not of what was drawn after it.
    for entry in plugins.all("cell"):
        if "recurrent_init" in {option.name for option in entry.options}:
            one, other = (
                _make(plugins, entry.name, recurrent_init=how).state_dict()
                for how in ("identity", "zeros")
            )
            assert any(not torch.equal(one[key], other[key]) for key in one), entry.name


@pytest.mark.parametrize("name", ["antisymmetric", "gated_antisymmetric"])
def test_the_skew_cells_say_which_initialisations_are_one(plugins: Registry, name: str) -> None:
    one, other = (_make(plugins, name, recurrent_init=how) for how in ("identity", "zeros"))
    assert torch.equal(one.recurrent_weight(), other.recurrent_weight())
    (said,) = (o.doc for o in plugins.get("cell", name).options if o.name == "recurrent_init")
    assert "identity and zeros both give A = -gamma I." in said
