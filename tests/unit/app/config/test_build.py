"""What a plan refuses before anything is built, and what the built thing then is."""

import sys
from pathlib import Path
from typing import Any

import pytest

from rnnexp.app.config.build import Plan, build_network
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.figures import figures_of
from rnnexp.app.config.probe import made
from rnnexp.cells import Cell, PointwiseCell
from rnnexp.errors import PluginError, RnnexpError
from rnnexp.registry import Registry
from rnnexp.tasks import Task


def plan_of(*words: str) -> Plan:
    prepare(words)
    (job,) = check_jobs(["task=temporal_order", "cell=gru", *words], False, None)
    return job.plan


def test_both_directions_together_are_as_wide_as_the_outputs() -> None:
    words = ("model.head=identity", "model.bidirectional=true", "cell.hidden_size=2")
    plan = plan_of(*words)
    network = build_network(plan)
    assert plan.task.output_size == 4
    assert sum(cell.hidden_size for cell in network.layers) == 4


@pytest.mark.parametrize(("units", "both"), [(4, "true"), (2, "false")])
def test_an_identity_that_does_not_fit_is_refused_in_words(units: int, both: str) -> None:
    words = ("model.head=identity", f"model.bidirectional={both}", f"cell.hidden_size={units}")
    found = 8 if both == "true" else 2
    with pytest.raises(RnnexpError, match=f"h has {found} hidden units .* asks for 4 outputs"):
        plan_of(*words)


class Grows(PointwiseCell):
    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        return (wx_BGH + rh_BGH + state[0],)  # lacks an unbind


class Raises(PointwiseCell):
    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        raise ZeroDivisionError("one by nothing")


class Unmade(Raises):
    def __init__(self, input_size, *, hidden_size=64):
        raise RuntimeError("inconsistent tensor size")  # line of the fault


class Exits(Raises):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        sys.exit(0)


class ExitsLater(Raises):
    def update(self, wx_BGH, rh_BGH, state):
        sys.exit(0)


class Orphan(Raises):
    def __init__(self, input_size, *, hidden_size=64):
        self.hidden_size = hidden_size


class Unwritten(PointwiseCell):
    num_gates = 1


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Grows, r"expected shape \(2, 64\), got \(2, 2, 64\)"),
        (Raises, "The cell 'mine' fails at its first step. ZeroDivisionError: one by nothing"),
        (Unmade, "The cell 'mine' cannot be made. RuntimeError: .* size. Look at {fault}. More"),
        (Exits, "The cell 'mine' cannot be made. SystemExit: 0. Look at .*test_build.py:[0-9]+"),
        (ExitsLater, "The cell 'mine' fails at its first step. SystemExit: 0. Look at .*py:[0-9]"),
        (Orphan, "The cell 'mine' fails .* AttributeError: .* Look at Orphan in .*test_build.py"),
        (Unwritten, "The cell 'mine' lacks update: write it in Unwritten in .*test_build.py"),
    ],
)
def test_a_cell_that_cannot_step_is_refused(registry: Registry, cls: type[Cell], said: str) -> None:
    registry.add("cell", "mine", cls)
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    fault = next(n for n, line in enumerate(lines, 1) if line.endswith("# line of the fault"))
    with pytest.raises(PluginError, match=said.replace("{fault}", f"{__file__}:{fault}")):
        plan_of("cell=mine")


def test_a_task_that_is_made_with_patterns_there_are_not_is_refused(registry: Registry) -> None:
    class Odd(registry.get("task", "temporal_order").cls):
        def __init__(self, seed: int = 0, **options: Any) -> None:
            super().__init__(seed, **options)
            self.patterns = ("lats",)

    registry.add("task", "mine", Odd)
    with pytest.raises(PluginError, match=r"The task 'mine': patterns names 'lats', .*'last'"):
        plan_of("task=mine")


def test_a_keyboard_interrupt_in_a_constructor_is_no_failure_of_the_cell(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.get("cell", "gru").cls, "__init__", pressed)
    with pytest.raises(KeyboardInterrupt):
        made("cell", "gru", 2, options={})


def test_a_task_without_a_size_is_refused(registry: Registry) -> None:
    class Endless(registry.get("task", "adding").cls):
        length = property(lambda self: self.steps)

        def __init__(self, seed: int = 0, **options: object) -> None:
            Task.__init__(self, seed)

    registry.add("task", "endless", Endless)
    with pytest.raises(PluginError, match=r"The task 'endless' does not say its length\. Attrib"):
        plan_of("task=endless")


def test_the_figures_of_a_run_are_known_beforehand() -> None:
    named = set(figures_of(plan_of("task=adding", "task.test_lengths=[70]")))
    both = {f"{split}/{name}" for split in ("val", "test") for name in ("loss", "loss_relative")}
    rest = {"val/accuracy", "test/accuracy", "test/loss_T70", "test/accuracy_T70", "seconds"}
    assert named == both | rest | {"val/loss_best", "val/loss_relative_best"}
    copying = figures_of(plan_of("task=copy_memory", "task.test_lengths=[200]"))
    assert "test/loss_T200" in copying, "the T asked for, not the 220 steps of a sequence"
    fed = figures_of(plan_of("task=char_lm", "cell=jordan"))
    free = {"loss_free", "loss_relative_free", "accuracy_free", "bits_per_character_free"}
    assert {name[5:] for name in fed if name.startswith("test/") and name.endswith("_free")} == free
    assert {name[4:] for name in fed if name.startswith("val/") and name.endswith("_free")} == free
    fed = figures_of(plan_of("task=copy_memory", "model.feedback=output", "task.test_lengths=[70]"))
    longer = {"test/loss_T70", "test/loss_T70_free", "test/accuracy_T70", "test/accuracy_T70_free"}
    assert {name for name in fed if "_T70" in name} == longer
