"""Each check of the contract of a cell finds the fault that it is for."""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from rnnexp.app.config.probe import try_step
from rnnexp.cells import Cell
from rnnexp.errors import PluginError
from rnnexp.recurrence import BACKENDS
from rnnexp.registry import Registry
from rnnexp.testing import CELL_CHECKS, CellSubject, Finding, examine
from rnnexp.testing.checks import Check, DoesNotApplyError

from .faulty import (
    AnyAxes,
    BeginsByAnotherChance,
    BeginsByChance,
    Branches,
    Careless,
    ChangesItsOptions,
    ChangesItsState,
    ClaimsAClock,
    ClaimsAClockThatIsNone,
    ClaimsAnOutputPath,
    CountsRows,
    Deaf,
    Detached,
    Explodes,
    FixedAxis,
    FixedDevice,
    FixedType,
    Grows,
    HalfARow,
    HiddenNumber,
    IdleParameter,
    KeepsALog,
    KeepsItsState,
    KeepsTheLast,
    MixesRows,
    MixesSteps,
    NoGates,
    NoNumber,
    NoTuple,
    OtherInputs,
    OtherOutput,
    Remembers,
    Rounds,
    SetsTheSeed,
    ShowsWhatComesByTheOutputAlone,
    ShowsWhatIsNotCarried,
    Sound,
    Stands,
    Unpicklable,
    Unseeded,
    Wordless,
)

CHECKS = {check.name: check for check in CELL_CHECKS}


FAULTS = [
    ("words", Wordless),
    ("shapes", FixedAxis),
    ("shapes", OtherInputs),
    ("shapes", FixedType),
    ("shapes", NoTuple),
    ("shapes", NoGates),
    ("shapes", HalfARow),
    ("options", ChangesItsOptions),
    ("finite", NoNumber),
    ("device", FixedDevice),
    ("gradient", Detached),
    ("jumps", Rounds),
    ("leading_axes", AnyAxes),
    ("leading_axes", MixesSteps),
    ("rows", MixesRows),
    ("rows", CountsRows),
    ("stateless", Remembers),
    ("stateless", ChangesItsState),
    ("stateless", KeepsALog),
    ("stateless", KeepsTheLast),
    ("stateless", KeepsItsState),
    ("stateless", BeginsByChance),
    ("stateless", BeginsByAnotherChance),
    ("seed", Unseeded),
    ("seed", SetsTheSeed),
    ("saved", HiddenNumber),
    ("copied", Unpicklable),
    ("compiles", Branches),
    ("refusals", Careless),
    ("parameters", IdleParameter),
    ("hidden_path", ClaimsAnOutputPath),
    ("hidden_path", Stands),
    ("clocks", ClaimsAClock),
    ("clocks", ClaimsAClockThatIsNone),
    ("trace", ShowsWhatComesByTheOutputAlone),
    ("gradient_of", OtherOutput),
    ("gradient_of", ShowsWhatIsNotCarried),
    ("flow", Explodes),
]
LONG = ("learning", Deaf)


def subject_of(plugins: Registry, cls: type) -> CellSubject:
    entry, file = plugins.get("cell", "elman"), Path(inspect.getfile(cls))
    return CellSubject(replace(entry, name=cls.__name__.lower(), cls=cls, file=file))


@pytest.mark.parametrize(
    ("name", "cls"),
    [*FAULTS, pytest.param(*LONG, marks=pytest.mark.slow)],
    ids=lambda v: getattr(v, "__name__", v),
)
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
    assert {name for name, _ in [*FAULTS, LONG]} == set(CHECKS) - facts - backends


@pytest.mark.parametrize("name", ["pointwise", "loop"])
def test_a_wrong_backend_is_found(
    name: str, plugins: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = BACKENDS["loop"].run

    def wrong(cell, inputs_TBI, state, trace=None):
        outputs, last = right(cell, inputs_TBI, state, trace)
        return outputs * 1.001, last

    monkeypatch.setitem(BACKENDS, name, replace(BACKENDS[name], run=wrong))
    (finding,) = examine(subject_of(plugins, Sound), [CHECKS["backends"]])
    assert finding.status == "fails"
    assert f"backend {name} to give the outputs of step" in finding.broken.expected


@pytest.mark.parametrize(("cls", "name"), [(CountsRows, "rows"), (MixesSteps, "leading_axes")])
def test_of_mixed_rows_no_backend_is_accused(plugins: Registry, cls: type, name: str) -> None:
    (finding,) = examine(subject_of(plugins, cls), [CHECKS["backends"]])
    assert (finding.status, finding.remark) == ("skipped", f"{name} fails, see there")


def test_what_is_wrong_is_named_where_it_is_written(plugins: Registry) -> None:
    def said(name: str, cls: type) -> str:
        (finding,) = examine(subject_of(plugins, cls), [CHECKS[name]])
        return str(finding.broken)

    assert "initial_state of BeginsByChance" in said("stateless", BeginsByChance)
    assert "project_input of all time steps" in said("leading_axes", MixesSteps)
    assert "another log['gates'][" in said("stateless", KeepsALog)
    assert "another last after" in said("stateless", KeepsTheLast)


def test_a_surrogate_gradient_is_not_compared(plugins: Registry) -> None:
    class Surrogate(Detached):
        surrogate_gradient = True

    assert "surrogate_gradient = True" in found(plugins, Detached).broken.look
    assert found(plugins, Surrogate).status == "skipped"


def found(plugins: Registry, cls: type) -> Finding:
    (finding,) = examine(subject_of(plugins, cls), [CHECKS["gradient"]])
    return finding


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
    assert inspect.getfile(Branches) in backends.remark


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (NoGates, "num_gates is not stated; state it in the class"),
        (HalfARow, r"R of shape \(8, 8\), .* got \(7, 8\)"),
    ],
)
def test_what_a_cell_lacks_is_said_before_it_trains(cls: type[Cell], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        try_step("it", cls(3, hidden_size=8), 3)


def test_where_shapes_fail_nothing_else_is_asked(plugins: Registry) -> None:
    shapes, *others = examine(subject_of(plugins, Grows), CELL_CHECKS[2:])
    assert shapes.broken.expected == "output of shape (4,), torch.float32"
    assert shapes.broken.seen == "(1, 4), torch.float32"
    assert {finding.status for finding in others} == {"skipped"}
    assert len(others) == len(CELL_CHECKS) - 3


def test_the_place_of_a_fault_is_in_the_plugin(plugins: Registry) -> None:
    (finding,) = examine(subject_of(plugins, Grows), [CHECKS["flow"]])
    assert "expected shape (3, 32), got (3, 3, 32)" in finding.broken.seen
    assert finding.broken.look.startswith("Look at Grows in ")


@pytest.mark.parametrize("error", [ZeroDivisionError("one by nothing"), SystemExit(0)])
def test_an_exception_in_a_plugin_is_a_finding(plugins: Registry, error: BaseException) -> None:
    class Raises(Sound):
        """Raises.

        h = 1
        """

        def update(self, wx_BGH, rh_BGH, state):
            raise error

    (finding,) = examine(subject_of(plugins, Raises), [CHECKS["shapes"]])
    assert finding.status == "fails"
    assert finding.broken.seen == f"{type(error).__name__}: {error}"
    assert "test_checks.py:" in finding.broken.look


def test_what_does_not_apply_is_skipped(plugins: Registry) -> None:
    def run(subject: object) -> None:
        raise DoesNotApplyError("no reason to ask")

    (finding,) = examine(subject_of(plugins, Sound), [Check("x", "a promise", run)])
    assert (finding.status, finding.remark) == ("skipped", "no reason to ask")
