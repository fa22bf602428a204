"""The two figures of the flow, of cells and losses whose way back is known."""

import math

import pytest
import torch
from torch import Tensor

from rnnexp.monitors.flow_record import NOTHING_ARRIVES, FlowRecord
from rnnexp.monitors.passes import Pass
from rnnexp.recurrence import RecurrentNetwork, Trace
from rnnexp.tasks import Batch

STEPS = 50


def figures_of(make_cell, readout: str, dtype: torch.dtype = torch.float32) -> dict[str, float]:
    torch.manual_seed(0)
    network = RecurrentNetwork(make_cell, 2, 1, readout=readout).to(dtype)
    inputs_TBI, trace = torch.randn(STEPS, 8, 2, dtype=dtype), Trace(follows_last=True)
    outputs: Tensor = network(inputs_TBI, traces=[trace])[0]
    (outputs - torch.randn_like(outputs)).square().mean().backward()
    record = FlowRecord(1, lambda norms, step: None)
    assert record.wants(0, 0)
    record.note(Pass(Batch(inputs_TBI, torch.zeros(1)), [trace]))
    return record.finish(1)


@pytest.mark.parametrize("readout", ["last", "every_step"])
def test_an_lstm_carries_the_gradient_in_c(plugins, readout: str) -> None:
    lstm = plugins.get("cell", "lstm").cls
    figures = figures_of(
        lambda size: lstm(size, hidden_size=16, recurrent_init="zeros", forget_bias=5.0),
        readout,
    )
    assert -1 < figures["flow/vanishing_log10"] < 0
    assert figures["flow/half_life"] > 30


@pytest.mark.parametrize("readout", ["last", "every_step"])
def test_where_nothing_flows_back_nothing_arrives(plugins, readout: str) -> None:
    elman = plugins.get("cell", "elman").cls
    figures = figures_of(lambda size: elman(size, hidden_size=16, recurrent_init="zeros"), readout)
    assert figures == {"flow/vanishing_log10": NOTHING_ARRIVES}


def _shrinking(plugins, factor: float):
    elman = plugins.get("cell", "elman").cls

    def make(size: int):
        cell = elman(size, hidden_size=16)
        with torch.no_grad():
            cell.weight_hh.mul_(factor)
            cell.weight_ih.mul_(1e-6)  # tanh stays linear
        return cell

    return make


@pytest.mark.parametrize("readout", ["last", "every_step"])
@pytest.mark.parametrize("factor", [1.0, 0.8, 0.004])
def test_a_linear_recurrence_shrinks_as_its_weights_whatever_the_loss(
    plugins, readout: str, factor: float
) -> None:
    figures = figures_of(_shrinking(plugins, factor), readout, torch.float64)
    decades = (STEPS - 1) * math.log10(factor)
    assert figures["flow/vanishing_log10"] == pytest.approx(decades, rel=1e-4, abs=1e-4)
    if factor < 1:
        life = math.log(0.5) / math.log(factor)
        assert figures["flow/half_life"] == pytest.approx(life, rel=1e-3)
    else:
        assert "flow/half_life" not in figures
