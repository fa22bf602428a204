"""Faults by which a part of a cell learns nothing, or of which torch tells in words of its own."""

import inspect
import linecache

import pytest
import torch

from rnnexp.registry import Registry
from rnnexp.testing import Finding, examine

from .faulty import AnyAxes, Branches, MixesRows, Rounds, Sound
from .test_checks import CHECKS, subject_of


class TwoGates(Sound):
    num_gates = 2

    def update(self, wx_BGH, rh_BGH, state):
        z, n = (wx_BGH + rh_BGH).unbind(-2)
        z = torch.sigmoid(z)
        return ((1 - z) * state[0] + z * self.value(n),)

    def value(self, n):
        return torch.tanh(n)


class UnusedGate(TwoGates):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.sigmoid((wx_BGH + rh_BGH).unbind(-2)[0]),)


class UnusedRecurrence(TwoGates):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh(wx_BGH.sum(-2) + rh_BGH[..., 0, :]),)


class RoundsAGate(TwoGates):
    def value(self, n):
        return torch.round(n)


class Compares(TwoGates):
    def value(self, n):
        return (n > 0).to(n.dtype)


class TakesSigns(TwoGates):
    def value(self, n):
        return torch.sign(n)


class Spikes(RoundsAGate):
    surrogate_gradient = True


class ReluByComparing(TwoGates):
    def value(self, n):
        return n * (n > 0) + torch.where(n.abs() > 1, n.sign(), n)


class UsesAGateLater(TwoGates):
    num_states = 7

    def update(self, wx_BGH, rh_BGH, state):
        wx_n, wx_z = wx_BGH.unbind(-2)
        rh_n, rh_z = rh_BGH.unbind(-2)
        h = torch.tanh(wx_n + rh_n + torch.sigmoid(wx_z) * state[-1])
        return (h, rh_z, *state[1:-1])


class ClosedAtFirst(TwoGates):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.gate_bias(1).fill_(-6.0)

    def value(self, n):
        return torch.relu(n).clamp(max=1.0)


class MixesUnits(TwoGates):
    def value(self, n):
        return torch.softmax(n, -1)


def look(plugins: Registry, cls: type, name: str) -> Finding:
    (finding,) = examine(subject_of(plugins, cls), [CHECKS[name]])
    return finding


IDLE = [
    (UnusedGate, "gate 1 of 2 (counted from 0) has none in weight_ih, weight_hh, bias_ih"),
    (RoundsAGate, "gate 1 of 2 (counted from 0) has none in weight_ih, weight_hh, bias_ih"),
    (UnusedRecurrence, "gate 1 of 2 (counted from 0) has none in weight_hh"),
]


@pytest.mark.parametrize(("cls", "seen"), IDLE)
def test_a_gate_without_a_gradient_is_named(plugins: Registry, cls: type, seen: str) -> None:
    assert look(plugins, cls, "parameters").broken.seen == seen


JUMPS = [
    (Rounds, "round", "round("),
    (RoundsAGate, "round", "round("),
    (Compares, "gt", "n > 0"),
    (TakesSigns, "sign", "sign("),
]


@pytest.mark.parametrize(("cls", "operator", "code"), JUMPS)
def test_what_jumps_is_named_with_its_line(
    plugins: Registry, cls: type, operator: str, code: str
) -> None:
    broken = look(plugins, cls, "jumps").broken
    said = broken.look.partition("?")[0]
    assert said.startswith(f"Is it `{operator}` at {inspect.getfile(cls)}:")
    assert code in linecache.getline(inspect.getfile(cls), int(said.rpartition(":")[2]))
    assert "surrogate_gradient = True" in broken.look


def test_a_jump_that_is_meant_is_not_judged(plugins: Registry) -> None:
    assert look(plugins, Spikes, "jumps").status == "skipped"


@pytest.mark.parametrize("cls", [ReluByComparing, UsesAGateLater, ClosedAtFirst])
@pytest.mark.parametrize("name", ["jumps", "parameters"])
def test_what_is_not_at_fault_passes(plugins: Registry, cls: type, name: str) -> None:
    finding = look(plugins, cls, name)
    assert finding.status == "ok", finding.broken


@pytest.mark.parametrize("name", ["exp_rnn", "goru", "irnn", "clockwork", "phased_lstm"])
def test_kinks_and_clocks_are_no_jumps(plugins: Registry, name: str) -> None:
    CHECKS["jumps"].run(subject_of(plugins, plugins.get("cell", name).cls))


def test_of_mixed_rows_no_jump_is_claimed(plugins: Registry) -> None:
    assert look(plugins, MixesRows, "jumps").status in ("ok", "skipped")


def test_an_update_that_mixes_units_is_told_what_to_do(plugins: Registry) -> None:
    finding = look(plugins, MixesUnits, "backends")
    assert "runs on loop, slowly" in finding.remark
    assert f"_softmax ({inspect.getfile(MixesUnits)}:" in finding.remark
    assert finding.remark.endswith("make update elementwise, or, to mix units, subclass Cell.")


class BranchesByIf(Branches):
    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        if new_BH.abs().sum() > 8:  # as of more rows than B
            new_BH = new_BH / 2
        return (new_BH,)


class BreaksTheGraph(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        torch._dynamo.graph_break()
        return super().update(wx_BGH, rh_BGH, state)


@pytest.mark.parametrize("name", ["compiles", "leading_axes", "rows"])
def test_a_branch_on_a_value_is_named_with_its_line(plugins: Registry, name: str) -> None:
    broken = look(plugins, BranchesByIf, name).broken
    assert broken.look.startswith(f"`if` on the value of a tensor at {__file__}:")
    assert "use torch.where" in broken.look
    assert "ynamo" not in str(broken)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_a_number_made_of_a_tensor_is_named_with_its_line(plugins: Registry) -> None:
    said = look(plugins, Branches, "compiles").broken.look
    assert "float(new_BH.sum()) > 0" in said
    assert f"looks at the value of a tensor at {inspect.getfile(Branches)}:" in said


def test_of_what_torch_cannot_compile_one_line_is_said(plugins: Registry) -> None:
    broken = look(plugins, BreaksTheGraph, "compiles").broken
    assert "\n" not in str(broken)
    assert broken.look.startswith(f"Look at {__file__}:")


def test_other_faults_of_the_axes_keep_their_words(plugins: Registry) -> None:
    assert look(plugins, AnyAxes, "leading_axes").broken.look.startswith("Look at AnyAxes")
