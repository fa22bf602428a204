import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnexp.errors import ConfigError
from rnnexp.registry import Registry
from rnnexp.tasks import IGNORED, Batch, batch_seed

SPLITS = st.sampled_from(["train", "val", "test"])


@given(SPLITS, SPLITS, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**4))
def test_seeds_differ_by_split_and_number(one, two, i: int, j: int, seed: int) -> None:
    same = (one, i) == (two, j)
    assert (batch_seed(seed, one, i) == batch_seed(seed, two, j)) == same


def test_only_training_depends_on_the_runs_seed() -> None:
    assert batch_seed(1, "train", 3) != batch_seed(2, "train", 3)
    assert batch_seed(1, "val", 3) == batch_seed(2, "val", 3)
    assert batch_seed(0, "train", 3) != batch_seed(0, "val", 3)


def test_seeds_do_not_collide() -> None:
    seeds = {batch_seed(s, "train", i) for s in range(20) for i in range(1000)}
    assert len(seeds) == 20_000


def test_seed_is_the_same_in_every_process_and_version() -> None:
    assert batch_seed(7, "train", 5) == 52406588190144627 < 2**56


def test_batch_moves_its_tensors() -> None:
    batch = Batch(torch.zeros(2, 1, 1), torch.zeros(1), fresh=False, seed=3)
    moved = batch.to(torch.float64)
    assert (moved.inputs_TBI.dtype, moved.targets.dtype) == (torch.float64, torch.float64)
    assert (moved.fresh, moved.seed, batch.inputs_TBI.dtype) == (False, 3, torch.float32)


@pytest.mark.parametrize(
    "option", ["length", "batch_size", "train_batches", "val_batches", "test_batches"]
)
def test_count_below_one_is_refused(plugins: Registry, option: str) -> None:
    with pytest.raises(ConfigError, match=rf"task\.{option}: must be at least \d, got 0\."):
        plugins.get("task", "adding").cls(0, **{option: 0})


def test_targets_of_adding_cannot_be_fed_back(plugins: Registry) -> None:
    task = plugins.get("task", "adding").cls()
    with pytest.raises(ConfigError, match="targets of Adding cannot be fed back"):
        task.encode_target(torch.zeros(1))
    assert task.baseline == 1 / 6


def test_batch_of_a_number_is_always_the_same(plugins: Registry) -> None:
    cls = plugins.get("task", "adding").cls
    one, two, other = cls(1), cls(1), cls(2)
    torch.manual_seed(5)
    first = one.batch("train", 700)
    one.batch("train", 1)
    torch.manual_seed(6)
    assert torch.equal(first.inputs_TBI, two.batch("train", 700).inputs_TBI)
    assert not torch.equal(first.inputs_TBI, other.batch("train", 700).inputs_TBI)
    assert torch.equal(one.batch("val", 0).inputs_TBI, other.batch("val", 0).inputs_TBI)
    assert first.seed == batch_seed(1, "train", 700)


def test_a_batch_weighs_what_its_loss_is_a_mean_over(plugins: Registry) -> None:
    task = plugins.get("task", "adding").cls()
    inputs_TBI = torch.zeros(5, 3, 2)
    assert task.weight_of(Batch(inputs_TBI, torch.zeros(5, 3, 1))) == 3, "rows of numbers"
    assert task.weight_of(Batch(inputs_TBI, torch.tensor([0, IGNORED, 2]))) == 2
    assert task.weight_of(Batch(inputs_TBI, torch.zeros(5, 3, dtype=torch.long))) == 15
    assert task.weight_of(Batch(inputs_TBI, torch.full((5, 3), IGNORED))) == 0


def test_a_task_that_says_no_more_has_one_baseline(plugins: Registry) -> None:
    task = plugins.get("task", "temporal_order").cls(length=30)
    assert {task.baseline_of(split) for split in ("train", "val", "test")} == {task.baseline}
    assert plugins.get("task", "one_unit").cls().baseline_of("val") is None


@pytest.mark.parametrize("name", ["adding", "copy_memory", "temporal_order", "one_unit"])
def test_runs_of_any_batch_size_are_judged_on_the_same_sequences(
    plugins: Registry, name: str
) -> None:
    few, many = (plugins.get("task", name).cls(batch_size=size) for size in (3, 40))
    for split in ("val", "test"):
        one, other = few.batch(split, 1), many.batch(split, 1)
        assert one.inputs_TBI.shape[1] == 32, "as at the default batch_size"
        assert torch.equal(one.inputs_TBI, other.inputs_TBI)
        assert torch.equal(one.targets, other.targets)
        assert few.num_batches(split) == many.num_batches(split)
        assert few.baseline_of(split) == many.baseline_of(split)
    assert [t.batch("train", 0).inputs_TBI.shape[1] for t in (few, many)] == [3, 40]


def test_a_batch_that_cannot_be_drawn_leaves_the_batch_size(plugins: Registry, monkeypatch) -> None:
    task = plugins.get("task", "adding").cls(batch_size=3)
    monkeypatch.setattr(task, "generate", lambda rng: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        task.batch("val", 0)
    assert task.batch_size == 3


@pytest.mark.parametrize("name", ["adding", "copy_memory", "temporal_order"])
def test_what_is_drawn_does_not_depend_on_the_default_type(plugins: Registry, name: str) -> None:
    task = plugins.get("task", name).cls(batch_size=4)
    usual = task.batch("val", 0)
    torch.set_default_dtype(torch.float64)
    try:
        again = task.batch("val", 0)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(usual.inputs_TBI, again.inputs_TBI)
    assert torch.equal(usual.targets, again.targets)
