"""Each check of the contract of a task finds the fault that it is for, and no other."""

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from rnnexp.registry import Registry
from rnnexp.tasks import StoredTask
from rnnexp.testing import TASK_CHECKS, Finding, TaskSubject, examine
from rnnexp.testing.checks import Check

from .faulty_tasks import (
    TASK_FAULTS,
    ClassesInAColumn,
    FlatByTorch,
    Listed,
    RowsOfItsOwn,
    SizedOnce,
    SizeInTest,
    WorstOfAll,
)
from .sound_tasks import SOUND, RootOfTheMean, Tokens

CHECKS = {check.name: check for check in TASK_CHECKS}


def find(plugins: Registry, cls: type, *checks: Check) -> list[Finding]:
    entry = replace(plugins.get("task", "adding"), cls=cls)
    return list(examine(TaskSubject(entry), checks))


@pytest.mark.parametrize(("name", "cls"), TASK_FAULTS, ids=lambda v: getattr(v, "__name__", v))
def test_a_fault_of_a_task_is_found(plugins: Registry, name: str, cls: type) -> None:
    assert {fault for fault, _ in TASK_FAULTS} == set(CHECKS)
    (finding,) = find(plugins, cls, CHECKS[name])
    assert finding.status == "fails", finding


@pytest.mark.parametrize("cls", SOUND)
def test_a_sound_task_passes(plugins: Registry, cls: type) -> None:
    findings = find(plugins, cls, *TASK_CHECKS)
    assert [finding for finding in findings if finding.status == "fails"] == []
    assert len(findings) == len(TASK_CHECKS)


def test_shapes_are_said_where_torch_would_broadcast(plugins: Registry) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as `rnnexp check` has it
        flat, rows = find(plugins, FlatByTorch, CHECKS["loss"], CHECKS["rows"])
    assert "(32, 1) and targets of shape (32,), which are broadcast" in flat.broken.seen
    assert rows.status == "skipped", "the same again"
    (column,) = find(plugins, ClassesInAColumn, CHECKS["loss"])
    assert "outputs of shape (32, 5) need targets of shape (32,)" in column.broken.seen
    assert "got (32, 1)" in column.broken.seen


def test_inputs_that_no_product_takes_are_remarked_on(plugins: Registry) -> None:
    (finding,) = find(plugins, Tokens, CHECKS["batches"])
    assert finding.remark == "for cells that take inputs of torch.int64"


def test_a_kind_of_mean_is_remarked_on(plugins: Registry) -> None:
    (finding,) = find(plugins, RootOfTheMean, CHECKS["mean"])
    assert finding.status == "ok"
    assert finding.remark.endswith("so it depends on batch_size: loss")


def test_the_figure_that_is_no_mean_is_named(plugins: Registry) -> None:
    (finding,) = find(plugins, WorstOfAll, CHECKS["metrics"])
    assert finding.broken.expected.startswith("a mean over rows as worst: between ")


def test_the_number_of_the_batch_that_is_missing_is_said(plugins: Registry) -> None:
    (finding,) = find(plugins, Listed, CHECKS["epochs"])
    assert "under the number 500, in the second epoch of 500 batches" in finding.broken.expected
    assert "divmod(index" in finding.broken.look


def test_what_has_the_size_of_a_training_batch_is_named_as_the_cause(plugins: Registry) -> None:
    words = "self.batch_size is judged_size while val and test are drawn"
    for name, cls in (("batches", SizedOnce), ("splits", SizedOnce), ("splits", RowsOfItsOwn)):
        (finding,) = find(plugins, cls, CHECKS[name])
        assert words in finding.broken.look
    assert finding.broken.expected == "the same val split for every batch_size"
    (finding,) = find(plugins, SizedOnce, CHECKS["batches"])
    assert finding.broken.expected.startswith("32 sequences per batch of val, whatever batch_size")
    assert "size of tensor a (32)" in finding.broken.seen
    (finding,) = find(plugins, SizeInTest, CHECKS["splits"])
    assert words not in finding.broken.look, "it has as many rows as it should"


class Misread(StoredTask):
    """Has no sequences."""

    length, input_size, output_size = 3, 2, 2

    def sequences(self):
        return json.loads("nothing")


class Given(Misread):
    """Has none either, and does not say so."""

    def sequences(self):
        return None


@pytest.mark.parametrize(
    ("cls", "words"), [(Misread, r"\S*/test_task_checks.py:\d+"), (Given, "Given in .*")]
)
def test_the_place_of_a_fault_is_in_the_file_of_the_task(
    plugins: Registry, cls: type, words: str
) -> None:
    entry = replace(plugins.get("task", "digits"), cls=cls, file=Path(__file__))
    (finding,) = examine(TaskSubject(entry), [CHECKS["batches"]])
    assert re.fullmatch(rf"Look at {words}\.", finding.broken.look)
