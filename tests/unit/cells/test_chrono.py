"""Chrono initialisation: gates that keep the past, open for lags of up to T_max steps."""

import pytest
import torch

from rnnexp.errors import ConfigError
from rnnexp.registry import Registry

H, LONGEST = 4000, 50.0
GATES = {"lstm": 4, "gru": 3}
KEEPS = 1
"""The number of the gate that keeps the past, f and z, in both."""


def _biases(plugins: Registry, name: str, **options: object) -> torch.Tensor:
    torch.manual_seed(0)
    cell = plugins.get("cell", name).cls(2, hidden_size=H, recurrent_init="zeros", **options)
    return cell.bias_ih.detach().view(GATES[name], H)


@pytest.mark.parametrize("name", GATES)
def test_the_kept_share_is_drawn_as_in_the_paper(plugins: Registry, name: str) -> None:
    drawn_H = _biases(plugins, name, chrono=LONGEST)[KEEPS].exp()
    shares = torch.linspace(0, 1, 11)
    wanted = 1 + (LONGEST - 2) * shares  # the quantiles of U(1, T_max - 1)
    torch.testing.assert_close(drawn_H.quantile(shares), wanted, rtol=0, atol=1.5)
    assert drawn_H.min() >= 1 - 1e-5
    assert drawn_H.max() <= LONGEST - 1 + 1e-4


def test_the_input_gate_of_the_lstm_is_as_far_shut(plugins: Registry) -> None:
    i, f, g, o = _biases(plugins, "lstm", chrono=LONGEST)
    assert torch.equal(i, -f)
    assert not torch.cat([g, o]).any()


def test_only_the_update_gate_of_the_gru_has_a_bias(plugins: Registry) -> None:
    r, z, n = _biases(plugins, "gru", chrono=LONGEST)
    assert z.std() > 0.5
    assert not torch.cat([r, n]).any()


@pytest.mark.parametrize(("name", "bias"), [("lstm", 1.0), ("gru", 0.0)])
def test_without_it_the_bias_is_what_it_was_and_nothing_is_drawn(
    plugins: Registry, name: str, bias: float
) -> None:
    assert torch.equal(_biases(plugins, name)[KEEPS], torch.full((H,), bias))
    after = torch.rand(1)
    _biases(plugins, name, chrono=None)
    assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize("name", GATES)
def test_the_shortest_lag_of_two_steps_is_half_open(plugins: Registry, name: str) -> None:
    assert not _biases(plugins, name, chrono=2)[KEEPS].any()


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("value", [1.9, 0.0, -5.0, float("nan"), float("inf")])
def test_impossible_lags_are_refused(plugins: Registry, name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"cell\.chrono: must be .* from 2, got {value}"):
        plugins.get("cell", name).cls(2, hidden_size=4, chrono=value)


def test_a_forget_bias_that_it_replaces_is_refused(plugins: Registry) -> None:
    with pytest.raises(ConfigError, match=r"cell\.forget_bias: must be left at 1 .* got 5"):
        plugins.get("cell", "lstm").cls(2, hidden_size=4, forget_bias=5.0, chrono=20)
