"""copy_memory and temporal_order: what is shown, what is asked, and what guessing costs."""

import math

import pytest
import torch

from rnnexp.errors import ConfigError


@pytest.fixture
def copy_memory(plugins):
    return plugins.get("task", "copy_memory").cls


@pytest.fixture
def temporal_order(plugins):
    return plugins.get("task", "temporal_order").cls


def test_symbols_are_shown_then_a_marker_then_asked_back(copy_memory) -> None:
    task = copy_memory(length=7, batch_size=5)
    batch = task.batch("train", 0)
    shown_TB = batch.inputs_TBI.argmax(-1)
    assert batch.inputs_TBI.shape == (27, 5, 10)
    assert bool((batch.inputs_TBI.sum(-1) == 1).all())
    assert bool((shown_TB[:10] >= 1).all())
    assert bool((shown_TB[:10] <= 8).all())
    assert bool((shown_TB[10:16] == 0).all())
    assert bool((shown_TB[16] == 9).all())
    assert bool((shown_TB[17:] == 0).all())
    assert bool((batch.targets[:17] == 0).all())
    assert torch.equal(batch.targets[17:], shown_TB[:10])
    # From the first symbol to its repetition T + K steps pass.
    assert task.length == 7 + 2 * 10


@pytest.mark.parametrize(
    ("length", "baseline"),
    [(50, 0.29706), (100, 0.17329), (200, 0.09452), (1000, 0.02039)],
)
def test_the_baseline_of_copying(copy_memory, length: int, baseline: float) -> None:
    assert copy_memory(length=length).baseline == pytest.approx(baseline, abs=1e-5)


def test_a_memoryless_predictor_costs_the_baseline(copy_memory) -> None:
    task = copy_memory(length=20, batch_size=64)
    targets = task.batch("val", 0).targets
    logits = torch.full((*targets.shape, 9), -50.0)
    logits[:-10, :, 0] = 50.0
    logits[-10:, :, 1:] = 0.0
    assert float(task.loss(logits, targets)) == pytest.approx(task.baseline, rel=1e-5)
    perfect = 50.0 * torch.nn.functional.one_hot(targets, 9)
    assert float(task.metrics(perfect, targets)["accuracy"]) == 1.0
    blank = torch.zeros_like(perfect)
    assert float(task.metrics(blank, targets)["accuracy"]) == 0.0


def test_other_lengths_are_the_same_task_with_another_delay(copy_memory) -> None:
    task = copy_memory(length=5, test_lengths=(3, 40))
    assert [t.length for t in task.test_tasks()] == [23, 60]
    assert [t.batch("test", 0).inputs_TBI.shape[0] for t in task.test_tasks()] == [23, 60]
    assert task.length == 25
    assert [t.stated_length for t in (task, *task.test_tasks())] == [5, 3, 40]


@pytest.mark.parametrize("options", [{"symbols": 1}, {"copied": 0}, {"length": 0}])
def test_impossible_options_are_refused(copy_memory, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least"):
        copy_memory(**options)


@pytest.mark.parametrize("length", [10, 37, 200])
def test_the_two_symbols_stand_where_the_paper_has_them(temporal_order, length: int) -> None:
    task = temporal_order(length=length, batch_size=400)
    batch = task.batch("train", 3)
    shown_TB = batch.inputs_TBI.argmax(-1)
    marks_TB = shown_TB < 2
    assert bool((marks_TB.sum(0) == 2).all())
    first_B, second_B = (marks_TB.T.nonzero()[:, 1].view(-1, 2)).T
    for step_B, tenth in ((first_B, 1), (second_B, 5)):
        assert int(step_B.min()) >= tenth * length // 10
        assert int(step_B.max()) < (tenth + 1) * length // 10
    rows = torch.arange(400)
    order_B = 2 * shown_TB[first_B, rows] + shown_TB[second_B, rows]
    assert torch.equal(order_B, batch.targets)
    assert set(batch.targets.tolist()) == {0, 1, 2, 3}


def test_guessing_an_order_costs_ln_4(temporal_order) -> None:
    task = temporal_order(batch_size=16)
    guess = torch.zeros(16, 4)
    assert float(task.loss(guess, task.batch("train", 0).targets)) == pytest.approx(math.log(4))
    assert task.baseline == pytest.approx(math.log(4))
    with pytest.raises(ConfigError, match=r"task\.length: must be at least 10, got 9"):
        temporal_order(length=9)
