"""Digits: real images, splits without overlap, and the axes of the recurrence."""

import pytest
import torch
from sklearn.datasets import load_digits


@pytest.fixture
def digits(plugins):
    return plugins.get("task", "digits").cls


def images(task, split: str) -> torch.Tensor:
    batches = [task.batch(split, index) for index in range(task.num_batches(split))]
    return torch.cat([batch.inputs_TBI.transpose(0, 1).flatten(1) for batch in batches])


def test_splits_are_stratified_disjoint_and_complete(digits) -> None:
    task = digits(batch_size=1)
    kept = {split: images(task, split) for split in ("train", "val", "test")}
    assert [len(rows) for rows in kept.values()] == [1259, 269, 269]
    original = sorted(map(tuple, (load_digits().data / 16).astype("float32").tolist()))
    assert sorted(tuple(row) for rows in kept.values() for row in rows.tolist()) == original
    labels = [int(task.batch("val", index).targets[0]) for index in range(269)]
    assert min(labels.count(digit) for digit in range(10)) >= 26


def test_the_axis_of_the_recurrence(digits) -> None:
    by = {order: digits(order=order).batch("val", 0) for order in ("pixels", "rows", "columns")}
    assert by["pixels"].inputs_TBI.shape == (64, 32, 1)
    assert by["rows"].inputs_TBI.shape == (8, 32, 8)
    image_88 = by["pixels"].inputs_TBI[:, 0].view(8, 8)
    assert torch.equal(by["rows"].inputs_TBI[:, 0], image_88)
    assert torch.equal(by["columns"].inputs_TBI[:, 0], image_88.T)


def test_permuted_pixels_are_the_same_pixels_in_one_fixed_order(digits) -> None:
    plain, mixed = digits().batch("test", 1), digits(permuted=True).batch("test", 1)
    assert torch.equal(mixed.inputs_TBI.sort(0).values, plain.inputs_TBI.sort(0).values)
    assert not torch.equal(mixed.inputs_TBI, plain.inputs_TBI)
    again = digits(seed=5, permuted=True).batch("test", 1)
    assert torch.equal(mixed.inputs_TBI, again.inputs_TBI)


def test_an_epoch_shows_each_image_once_in_an_order_of_its_own(digits) -> None:
    task = digits(batch_size=1259)
    first, second = task.batch("train", 0), task.batch("train", 1)
    assert not torch.equal(first.targets, second.targets)
    assert torch.equal(first.targets.sort().values, second.targets.sort().values)
    assert torch.equal(first.targets, digits(batch_size=1259).batch("train", 0).targets)
    assert not torch.equal(first.targets, digits(seed=1, batch_size=1259).batch("train", 0).targets)


def test_a_batch_larger_than_the_data_takes_all_of_it(digits) -> None:
    task = digits(batch_size=5000)
    assert task.num_batches("train") == 1
    assert task.batch("train", 7).inputs_TBI.shape == (64, 1259, 1)
