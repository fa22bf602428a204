"""Chrono initialisation: gates that keep the past, open for lags of up to T_max steps."""

import pytest
import torch

from rnnexp.errors import ConfigError
from rnnexp.registry import Registry

H, LONGEST = 1000, 50.0
APART = {"lstm": 1, "peephole_lstm": 1, "layer_norm_lstm": 1}
"""Cells whose gate 0 is i, by the number of the gate that keeps the past."""
COUPLED = {"gru": 1, "gru_reset_before": 1, "cifg_lstm": 0, "janet": 0}
"""Those whose one gate keeps and writes."""
KEEPS = APART | COUPLED
START = {name: 0.0 if "gru" in name else 1.0 for name in KEEPS}


def _biases(plugins: Registry, name: str, **options: object) -> torch.Tensor:
    torch.manual_seed(0)
    cell = plugins.get("cell", name).cls(2, hidden_size=H, recurrent_init="zeros", **options)
    return cell.bias_ih.detach().view(-1, H)


@pytest.mark.parametrize("name", KEEPS)
def test_the_kept_share_is_drawn_as_in_the_paper(plugins: Registry, name: str) -> None:
    drawn_H = _biases(plugins, name, chrono=LONGEST)[KEEPS[name]].exp()
    shares = torch.linspace(0, 1, 11)
    wanted = 1 + (LONGEST - 2) * shares  # the quantiles of U(1, T_max - 1)
    torch.testing.assert_close(drawn_H.quantile(shares), wanted, rtol=0, atol=3)
    assert drawn_H.min() >= 1 - 1e-5
    assert drawn_H.max() <= LONGEST - 1 + 1e-4


@pytest.mark.parametrize("name", APART)
def test_the_input_gate_is_as_far_shut(plugins: Registry, name: str) -> None:
    i, f, g, o = _biases(plugins, name, chrono=LONGEST)
    assert f.std() > 0.5
    assert torch.equal(i, -f)
    assert not torch.cat([g, o]).any()


@pytest.mark.parametrize("name", COUPLED)
def test_where_one_gate_keeps_and_writes_only_that_has_a_bias(plugins: Registry, name: str) -> None:
    keeps, *rest = _biases(plugins, name, chrono=LONGEST).roll(-COUPLED[name], 0)
    assert keeps.std() > 0.5
    assert not torch.cat(rest).any()


@pytest.mark.parametrize("name", KEEPS)
def test_without_it_the_bias_is_what_it_was_and_nothing_is_drawn(
    plugins: Registry, name: str
) -> None:
    assert torch.equal(_biases(plugins, name)[KEEPS[name]], torch.full((H,), START[name]))
    after = torch.rand(1)
    _biases(plugins, name, chrono=None)
    assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize("name", KEEPS)
def test_the_shortest_lag_of_two_steps_is_half_open(plugins: Registry, name: str) -> None:
    assert not _biases(plugins, name, chrono=2)[KEEPS[name]].any()


@pytest.mark.parametrize("name", KEEPS)
@pytest.mark.parametrize("value", [1.9, 0.0, -5.0, float("nan"), float("inf")])
def test_impossible_lags_are_refused(plugins: Registry, name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"cell\.chrono: must be .* from 2, got {value}"):
        plugins.get("cell", name).cls(2, hidden_size=4, chrono=value)


@pytest.mark.parametrize("name", [name for name, bias in START.items() if bias])
def test_a_forget_bias_that_it_replaces_is_refused(plugins: Registry, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cell\.forget_bias: must be left at 1 .* got 5"):
        plugins.get("cell", name).cls(2, hidden_size=4, forget_bias=5.0, chrono=20)
