"""Each check of the contract of a task finds the fault that it is for."""

from dataclasses import replace

import pytest
import torch

from rnnexp.registry import Registry
from rnnexp.tasks import GeneratedTask
from rnnexp.testing import TASK_CHECKS, TaskSubject, examine
from rnnexp.testing.checks import Check


class Even(GeneratedTask):
    """Is it constant?"""

    patterns = ("last",)
    input_size = output_size = 1

    def generate(self, rng):
        x = torch.rand(self.length, self.batch_size, 1, generator=rng)
        return x, x.mean(0)

    def loss(self, outputs, targets):
        return (outputs - targets).square().mean()


class Sums(Even):
    def loss(self, outputs, targets):
        return (outputs - targets).square().sum()


class Chance(Even):
    def generate(self, rng):
        x = torch.rand(self.length, self.batch_size, 1)
        return x, x.mean(0)


class OneBatch(Even):
    def batch(self, split, index):
        return super().batch(split, 0)


class Wide(Even):
    input_size = 2


class Vector(Even):
    def loss(self, outputs, targets):
        return (outputs - targets).square()


class SeedInTest(Even):
    def batch(self, split, index):
        batch = super().batch(split, index)
        return replace(batch, targets=batch.targets + self.seed)


class FeedsBadly(Even):
    targets_as_inputs = True

    def encode_target(self, targets):
        return targets


TASK_FAULTS = [
    ("words", OneBatch),
    ("batches", Wide),
    ("numbers", Chance),
    ("splits", OneBatch),
    ("splits", SeedInTest),
    ("loss", Vector),
    ("mean", Sums),
    ("feedback", FeedsBadly),
]


@pytest.mark.parametrize(("name", "cls"), TASK_FAULTS, ids=lambda v: getattr(v, "__name__", v))
def test_a_fault_of_a_task_is_found(plugins: Registry, name: str, cls: type) -> None:
    entry = replace(plugins.get("task", "adding"), cls=cls)
    checks = {check.name: check for check in TASK_CHECKS}
    assert {fault for fault, _ in TASK_FAULTS} == set(checks)
    (finding,) = examine(TaskSubject(entry), [checks[name]])
    assert finding.status == "fails", finding


@pytest.mark.parametrize("check", TASK_CHECKS, ids=lambda check: check.name)
def test_a_sound_task_passes(plugins: Registry, check: Check) -> None:
    (finding,) = examine(TaskSubject(replace(plugins.get("task", "adding"), cls=Even)), [check])
    assert finding.status in ("ok", "skipped"), finding.broken
