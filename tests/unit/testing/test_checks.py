"""Each check of the contract of a cell finds the fault that it is for."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from rnnexp.app.config.probe import try_step
from rnnexp.cells import Cell, PointwiseCell
from rnnexp.errors import PluginError
from rnnexp.registry import Registry
from rnnexp.testing import CELL_CHECKS, CellSubject, examine
from rnnexp.testing.checks import Check, DoesNotApplyError

CHECKS = {check.name: check for check in CELL_CHECKS}


class Sound(PointwiseCell):
    """A unit that keeps its contract.

        h_t = tanh(W x_t + R h_{t-1} + b)

    Source: nobody.
    """

    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)


class Wordless(Sound):
    pass


class FixedAxis(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH)[:, 0]),)


class FixedType(Sound):
    def initial_state(self, batch_shape):
        return (torch.zeros(*batch_shape, self.hidden_size),)


class FixedDevice(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)) + torch.ones(self.hidden_size).double(),)


class Detached(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH.detach()).squeeze(-2)),)


class MixesRows(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (new_BH - new_BH.mean(0, keepdim=True),)


class Remembers(Sound):
    calls = 0

    def update(self, wx_BGH, rh_BGH, state):
        self.calls += 1
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2) * self.calls),)


class ChangesItsState(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        with torch.no_grad():
            state[0].add_(1.0)
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)


class Unseeded(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        with torch.random.fork_rng():
            torch.seed()
            self.bias_ih.data.normal_()


class HiddenNumber(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.scale = float(torch.rand(()))

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + self.scale * rh_BGH).squeeze(-2)),)


class Unpicklable(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.act = lambda x: torch.tanh(x)

    def update(self, wx_BGH, rh_BGH, state):
        return (self.act((wx_BGH + rh_BGH).squeeze(-2)),)


class Branches(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (new_BH if float(new_BH.sum()) > 0 else -new_BH,)


class AnyAxes(Sound):
    def step(self, x_BI, state):
        out, new = super().step(x_BI, state)
        return (out, new) if x_BI.dim() < 3 else (out + x_BI.sum(), new)


class Careless(Cell):
    """Takes no units at all.

    h_t = 0
    """

    def __init__(self, input_size, *, hidden_size=64):
        nn.Module.__init__(self)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def initial_state(self, batch_shape):
        return (self.zeros(batch_shape),)

    def step(self, x_BI, state):
        return state[0], state


class IdleParameter(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.idle = nn.Parameter(torch.ones(3))


class ClaimsAnOutputPath(Sound):
    recurs_through = "output"


class ClaimsAClock(Sound):
    clock_states = (0,)


class ClaimsAClockThatIsNone(Sound):
    clock_states = (1,)


class OtherOutput(Sound):
    def step(self, x_BI, state):
        out, new = super().step(x_BI, state)
        return 2 * out, new


class ShowsWhatIsNotCarried(Sound):
    def step(self, x_BI, state):
        out, new = super().step(x_BI, state)
        return torch.sin(out), new


class Explodes(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (1e30 * (wx_BGH + rh_BGH).squeeze(-2),)


class NoTuple(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return torch.tanh((wx_BGH + rh_BGH).squeeze(-2))


class NoGates(Sound):
    num_gates = None


class HalfARow(Sound):
    def recurrent_weight(self):
        return self.weight_hh[:-1]


class Deaf(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (0.01 * torch.sin((1e-9 * wx_BGH + rh_BGH).squeeze(-2)),)


FAULTS = [
    ("words", Wordless),
    ("shapes", FixedAxis),
    ("shapes", FixedType),
    ("shapes", NoTuple),
    ("shapes", NoGates),
    ("shapes", HalfARow),
    ("device", FixedDevice),
    ("gradient", Detached),
    ("leading_axes", AnyAxes),
    ("rows", MixesRows),
    ("stateless", Remembers),
    ("stateless", ChangesItsState),
    ("seed", Unseeded),
    ("saved", HiddenNumber),
    ("copied", Unpicklable),
    ("compiles", Branches),
    ("refusals", Careless),
    ("parameters", IdleParameter),
    ("hidden_path", ClaimsAnOutputPath),
    ("clocks", ClaimsAClock),
    ("clocks", ClaimsAClockThatIsNone),
    ("trace", OtherOutput),
    ("gradient_of", ShowsWhatIsNotCarried),
    ("flow", Explodes),
    ("learning", Deaf),
]


def subject_of(plugins: Registry, cls: type) -> CellSubject:
    return CellSubject(replace(plugins.get("cell", "elman"), name=cls.__name__.lower(), cls=cls))


@pytest.mark.parametrize(("name", "cls"), FAULTS, ids=lambda v: getattr(v, "__name__", v))
def test_a_fault_is_found(plugins: Registry, name: str, cls: type) -> None:
    (finding,) = examine(subject_of(plugins, cls), [CHECKS[name]])
    assert finding.status == "fails"
    assert finding.broken is not None
    assert finding.broken.expected
    assert finding.broken.look


@pytest.mark.parametrize("name", [c.name for c in CELL_CHECKS])
def test_a_sound_cell_passes(plugins: Registry, name: str) -> None:
    (finding,) = examine(subject_of(plugins, Sound), [CHECKS[name]])
    assert finding.status == "ok", finding.broken


def test_every_check_has_a_fault() -> None:
    facts = {"speed"}  # tells, and does not judge
    backends = {"backends"}  # below: a backend refuses a cell that it would get wrong
    assert {name for name, _ in FAULTS} == set(CHECKS) - facts - backends


def test_a_wrong_backend_is_found(plugins: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnnexp.recurrence import BACKENDS

    def wrong(cell, inputs_TBI, state, trace=None):
        outputs, last = BACKENDS["loop"].run(cell, inputs_TBI, state, trace)
        return outputs * 1.001, last

    monkeypatch.setitem(BACKENDS, "pointwise", replace(BACKENDS["pointwise"], run=wrong))
    (finding,) = examine(subject_of(plugins, Sound), [CHECKS["backends"]])
    assert finding.status == "fails"
    assert "backend pointwise to give the loop's outputs" in finding.broken.expected


def test_of_chance_no_backend_is_accused(plugins: Registry) -> None:
    for name in ("backends", "trace"):
        (finding,) = examine(subject_of(plugins, Remembers), [CHECKS[name]])
        assert finding.status == "skipped"
        assert finding.remark == "its outputs change from call to call"


def test_a_cell_that_looks_at_values_runs_by_the_loop_and_is_told_why(plugins: Registry) -> None:
    asked = [CHECKS["device"], CHECKS["backends"]]
    device, backends = examine(subject_of(plugins, Branches), asked)
    assert device.status == "skipped"
    assert backends.status == "ok"
    assert "runs on loop, slowly: its update is no plain elementwise" in backends.remark
    assert __file__ in backends.remark


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (NoGates, "num_gates is not stated; state it in the class"),
        (HalfARow, r"R of shape \(8, 8\), .* got \(7, 8\)"),
    ],
)
def test_what_a_cell_lacks_is_said_before_it_trains(cls: type[Cell], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        try_step("it", cls(3, hidden_size=8))


class Grows(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh(wx_BGH + rh_BGH + state[0]),)  # lacks an unbind


def test_where_shapes_fail_nothing_else_is_asked(plugins: Registry) -> None:
    shapes, *others = examine(subject_of(plugins, Grows), CELL_CHECKS[1:])
    assert shapes.broken.expected == "output of shape (4,), torch.float32"
    assert shapes.broken.seen == "(1, 4), torch.float32"
    assert {finding.status for finding in others} == {"skipped"}
    assert len(others) == len(CELL_CHECKS) - 2


def test_the_place_of_a_fault_is_in_the_plugin(plugins: Registry) -> None:
    (finding,) = examine(subject_of(plugins, Grows), [CHECKS["flow"]])
    assert "expected shape (3, 32), got (3, 3, 32)" in finding.broken.seen
    assert finding.broken.look.startswith("Look at Grows in ")


def test_an_exception_in_a_plugin_is_a_finding(plugins: Registry) -> None:
    class Raises(Sound):
        """Raises.

        h = 1
        """

        def update(self, wx_BGH, rh_BGH, state):
            raise ZeroDivisionError("one by nothing")

    (finding,) = examine(subject_of(plugins, Raises), [CHECKS["shapes"]])
    assert finding.broken.seen == "ZeroDivisionError: one by nothing"
    assert "test_checks.py:" in finding.broken.look


def test_what_does_not_apply_is_skipped() -> None:
    def run(subject: object) -> None:
        raise DoesNotApplyError("no reason to ask")

    (finding,) = examine(object(), [Check("x", "a promise", run)])
    assert (finding.status, finding.remark) == ("skipped", "no reason to ask")
