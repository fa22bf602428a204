import pytest
import torch

from rnnexp.registry import Registry
from rnnexp.tasks import Batch, Split, Task


@pytest.fixture
def task(plugins: Registry) -> Task:
    return plugins.get("task", "adding").cls(0, length=20, batch_size=20_000)


@pytest.fixture
def batch(task: Task) -> Batch:
    return task.batch("train", 0)


def test_target_is_the_sum_of_the_two_marked(batch: Batch) -> None:
    u_TB, m_TB = batch.inputs_TBI.unbind(-1)
    assert set(m_TB.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(m_TB.sum(0), torch.full((20_000,), 2.0))
    torch.testing.assert_close(batch.targets.squeeze(-1), (u_TB * m_TB).sum(0))
    assert batch.targets.shape == (20_000, 1)


def test_numbers_are_uniform(batch: Batch) -> None:
    u_TB = batch.inputs_TBI[..., 0]
    assert 0 <= u_TB.min() < u_TB.max() < 1
    assert u_TB.mean().item() == pytest.approx(1 / 2, abs=2e-3)
    assert u_TB.var().item() == pytest.approx(1 / 12, abs=1e-3)


def test_marks_fall_anywhere(batch: Batch) -> None:
    share_T = batch.inputs_TBI[..., 1].mean(1)
    assert share_T.sub(2 / 20).abs().max() < 0.012


def test_baseline_is_the_loss_of_always_answering_one(task: Task, batch: Batch) -> None:
    loss = task.loss(torch.ones_like(batch.targets), batch.targets).item()
    assert loss == pytest.approx(1 / 6, abs=4e-3)
    assert task.baseline == pytest.approx(loss, abs=4e-3)


@pytest.mark.parametrize(("length", "split"), [(30, "val"), (30, "test"), (60, "test")])
def test_the_baseline_of_a_split_is_that_of_its_own_sequences(
    plugins: Registry, length: int, split: Split
) -> None:
    task = plugins.get("task", "adding").cls(3, length=30, val_batches=8, test_lengths=(60,))
    asked = {30: task, 60: task.test_tasks()[0]}[length]
    losses = []
    for index in range(asked.num_batches(split)):
        targets = asked.batch(split, index).targets
        losses.append(float(asked.loss(torch.ones_like(targets), targets)))
    assert asked.baseline_of(split) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_the_baseline_of_a_split_is_drawn_once(plugins: Registry, monkeypatch) -> None:
    task = plugins.get("task", "adding").cls(length=30, val_batches=8)
    found = task.baseline_of("val")
    assert found == pytest.approx(0.1558, abs=1e-4), "256 sequences are no 1/6"
    monkeypatch.setattr(task, "batch", None)
    assert task.baseline_of("val") == found
    assert task.baseline_of("train") == 1 / 6


def test_an_answer_is_right_by_the_bound_of_1997(task: Task) -> None:
    targets = torch.zeros(4, 1)
    outputs = torch.tensor([[0.0], [0.079], [0.081], [-0.079]])
    assert task.metrics(outputs, targets)["accuracy"].item() == 0.75


def test_always_answering_one_is_seldom_right(task: Task, batch: Batch) -> None:
    share = task.metrics(torch.ones_like(batch.targets), batch.targets)["accuracy"].item()
    assert share == pytest.approx(1 - 0.92**2, abs=0.01)


def test_sequence_of_two_steps_marks_both(plugins: Registry) -> None:
    batch = plugins.get("task", "adding").cls(0, length=2).batch("train", 0)
    torch.testing.assert_close(batch.inputs_TBI[..., 0].sum(0), batch.targets.squeeze(-1))
