"""copy_memory, temporal_order, counting: what is shown, what is asked, what guessing costs."""

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


def test_symbols_may_be_spread_before_the_marker(copy_memory) -> None:
    batch = copy_memory(length=7, copied=3, spread=True, batch_size=200).batch("train", 0)
    shown_TB = batch.inputs_TBI.argmax(-1)
    assert shown_TB.shape == (13, 200)
    assert bool((shown_TB[9] == 9).all())  # T + K - 1 steps before the marker
    assert bool((shown_TB[10:] == 0).all())
    for shown_T, wanted_T in zip(shown_TB[:9].T, batch.targets[10:].T, strict=True):
        assert shown_T[shown_T > 0].tolist() == wanted_T.tolist()
    assert bool((shown_TB[:9] > 0).any(1).all())  # no step is without a symbol in all rows


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


@pytest.fixture
def counting(plugins):
    return plugins.get("task", "counting").cls


def _written(classes: torch.Tensor, letters: str) -> list[str]:
    return ["".join(letters[c] for c in row).rstrip("_") for row in classes.T.tolist()]


def test_each_symbol_is_shown_n_times_and_what_follows_is_asked(counting) -> None:
    batch = counting(length=3, symbols=3, batch_size=100).batch("train", 0)
    blank_TB = batch.inputs_TBI.sum(-1) == 0
    shown = _written(batch.inputs_TBI.argmax(-1).masked_fill(blank_TB, 3), "abc_")
    asked = _written(batch.targets.masked_fill(batch.targets == -100, 4), "abc#_")
    strings = {("abc", "_c#"), ("aabbcc", "__bcc#"), ("aaabbbccc", "___bbccc#")}
    assert set(zip(shown, asked, strict=True)) == strings


@pytest.mark.parametrize("symbols", [2, 3])
def test_expecting_a_turn_as_often_as_there_is_one_costs_the_baseline(
    counting, symbols: int
) -> None:
    task = counting(length=5, symbols=symbols)
    batches = [task.batch("test", i) for i in range(task.num_batches("test"))]
    p = (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 5
    stays, turns = (torch.nn.functional.pad(torch.eye(symbols), pad) for pad in ((0, 1), (1, 0)))
    guesses = ((1 - p) * stays + p * turns).log()
    losses = [float(task.loss(b.inputs_TBI @ guesses.clamp(min=-50), b.targets)) for b in batches]
    assert sum(losses) / len(losses) == pytest.approx(task.baseline, rel=0.03)


def _counted(task) -> set[int]:
    return {int(n) for n in task.batch("test", 0).inputs_TBI[..., 0].sum(0)}


def test_longer_strings_have_counts_never_trained_alone(counting) -> None:
    task = counting(length=5, test_lengths=(4, 5, 8))
    assert [_counted(t) for t in (task, *task.test_tasks())] == [
        {1, 2, 3, 4, 5},
        {1, 2, 3, 4},
        {1, 2, 3, 4, 5},
        {6, 7, 8},
    ]
    p = (1 / 6 + 1 / 7 + 1 / 8) / 3
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert task.test_tasks()[2].baseline == pytest.approx(entropy)


def test_a_string_counts_where_all_of_it_is_right(counting) -> None:
    task = counting(length=4, batch_size=4)
    targets = task.batch("train", 0).targets
    right = 50.0 * torch.nn.functional.one_hot(targets.clamp(min=0), 3)
    assert float(task.metrics(right, targets)["accuracy"]) == 1.0
    assert float(task.loss(right, targets)) == pytest.approx(0.0, abs=1e-6)
    row = right.clone()
    last = int((targets[:, 0] != -100).nonzero()[-1])
    row[last, 0] = row[last, 0].roll(1)
    assert float(task.metrics(row, targets)["accuracy"]) == 0.75
    assert task.weight_of(task.batch("train", 0)) == 4


@pytest.mark.parametrize("options", [{"symbols": 1}, {"length": 1}])
def test_there_is_nothing_to_count_with_less(counting, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least 2, got 1"):
        counting(**options)
