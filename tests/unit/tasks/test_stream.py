import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnexp.errors import ConfigError
from rnnexp.tasks import Batch, GeneratedTask
from rnnexp.tasks.datamodule import TaskData
from rnnexp.tasks.stream import BatchStream, Share, window_of, windows_of


class Echo(GeneratedTask):
    """Targets are the inputs: easy to see where a window was cut."""

    @property
    def input_size(self) -> int:
        return 2

    @property
    def output_size(self) -> int:
        return 2

    def generate(self, rng):
        inputs = torch.rand(self.length, self.batch_size, 2, generator=rng)
        return inputs, inputs.clone()

    def loss(self, outputs, targets):
        return (outputs - targets).square().mean()


def _echo(length: int = 7, batches: int = 3) -> Echo:
    counts = {"train_batches": batches, "val_batches": batches, "test_batches": batches}
    return Echo(0, length=length, batch_size=2, **counts)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3))
def test_windows_put_together_are_the_sequence(length: int, window: int, batches: int) -> None:
    task = _echo(length, batches)
    stream = BatchStream(task, "train", "every_step", window)
    parts = list(stream)
    assert len(parts) == len(stream) == batches * stream.windows
    for index in range(batches):
        own = parts[index * stream.windows : (index + 1) * stream.windows]
        whole = task.batch("train", index)
        assert torch.equal(torch.cat([p.inputs_TBI for p in own]), whole.inputs_TBI)
        assert torch.equal(torch.cat([p.targets for p in own]), whole.targets)
        assert [p.fresh for p in own] == [True] + [False] * (stream.windows - 1)
        assert all(1 <= len(p.inputs_TBI) <= window for p in own)


@given(st.integers(1, 12), st.integers(1, 12))
def test_a_sequence_with_a_target_at_its_end_is_one_batch(length: int, window: int) -> None:
    task = _echo(length)
    stream = BatchStream(task, "train", "last", window)
    parts = list(stream)
    assert len(parts) == len(stream) == 3
    for index, part in enumerate(parts):
        assert torch.equal(part.inputs_TBI, task.batch("train", index).inputs_TBI)
        assert part.fresh


@given(st.integers(1, 12), st.none() | st.integers(1, 12))
def test_windows_in_order_are_the_batch(length: int, window: int | None) -> None:
    batch = Batch(torch.rand(length, 2, 1), torch.arange(2))
    parts = list(windows_of(batch, window, "last"))
    assert len(parts) == (1 if window is None else -(-length // window))
    assert torch.equal(torch.cat([p.inputs_TBI for p in parts]), batch.inputs_TBI)
    assert [p.fresh for p in parts] == [True] + [False] * (len(parts) - 1)
    assert all(torch.equal(p.targets, batch.targets) for p in parts)
    places = [(p.before, p.before + len(p.inputs_TBI), p.after) for p in parts]
    assert places[0][0] == places[-1][2] == 0
    assert [end for _, end, _ in places[:-1]] == [begin for begin, _, _ in places[1:]]
    assert all(end + after == length for _, end, after in places)


def test_text_that_goes_on_stays_unfresh() -> None:
    batch = Batch(torch.zeros(4, 2, 1), torch.zeros(4, 2), fresh=False)
    assert not window_of(batch, 0, 2, "every_step").fresh


@given(st.integers(0, 40))
def test_stream_goes_on_from_any_position(position: int) -> None:
    through = BatchStream(_echo(), "train", "every_step", 3)
    batches = [b for _ in range(6) for b in through]
    resumed = BatchStream(_echo(), "train", "every_step", 3)
    resumed.load_state_dict({"position": position})
    rest = list(resumed)
    assert len(rest) == 9 - position % 9
    for got, wanted in zip(rest, batches[position:], strict=False):
        assert torch.equal(got.inputs_TBI, wanted.inputs_TBI)


def test_position_counts_what_was_taken() -> None:
    stream = BatchStream(_echo(), "train", "every_step")
    assert stream.state_dict()["position"] == 0
    taken = iter(stream)
    next(taken)
    next(taken)
    assert stream.state_dict()["position"] == 2
    list(taken)
    list(stream)
    assert stream.state_dict()["position"] == 6


def test_windows_of_a_sequence_count_as_their_share_of_it() -> None:
    stream = BatchStream(_echo(6), "train", "every_step", 2)
    assert stream.windows == 3
    stream.position = 4
    assert stream.sequences == pytest.approx(4 / 3 * 2), "of two rows"
    stream = BatchStream(_echo(6), "train", "last", 2)
    stream.position = 4
    assert stream.sequences == 8


def test_second_epoch_has_new_batches_in_training_only() -> None:
    train, val = (BatchStream(_echo(), split, "every_step") for split in ("train", "val"))
    firsts = [[next(iter(list(s))).inputs_TBI for _ in range(2)] for s in (train, val)]
    assert not torch.equal(*firsts[0])
    assert torch.equal(*firsts[1])


def test_interrupted_validation_begins_anew() -> None:
    val = BatchStream(_echo(), "val", "every_step")
    first = next(iter(val))
    assert torch.equal(next(iter(val)).inputs_TBI, first.inputs_TBI)
    assert len(list(val)) == 3


def test_data_windows_training_only() -> None:
    longer = _echo(11)
    data = TaskData(_echo(), "every_step", window=3, test_tasks=(longer,))
    assert {len(b.inputs_TBI) for b in data.train_dataloader()} == {3, 1}
    assert {len(b.inputs_TBI) for b in data.val_dataloader()} == {7}
    tests = data.test_dataloader()
    assert [{len(b.inputs_TBI) for b in stream} for stream in tests] == [{7}, {11}]


@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from(["every_step", "last"]))
def test_the_shares_of_a_batch_put_together_are_the_batch(size, rows, pattern) -> None:
    inputs_TBI = torch.rand(5, size * rows, 2)
    targets = inputs_TBI.clone() if pattern == "every_step" else inputs_TBI[-1].clone()
    batch = Batch(inputs_TBI, targets, fresh=False, seed=7)
    parts = [Share(rank, size).of(batch, "train", pattern) for rank in range(size)]
    assert {part.inputs_TBI.shape[1] for part in parts} == {rows}
    assert torch.equal(torch.cat([part.inputs_TBI for part in parts], 1), inputs_TBI)
    joined = torch.cat([part.targets for part in parts], 1 if pattern == "every_step" else 0)
    assert torch.equal(joined, targets)
    assert all(part.seed == 7 and not part.fresh for part in parts)


def test_rows_that_cannot_be_shared_equally() -> None:
    batch = Batch(torch.rand(5, 3, 2), torch.rand(3, 2))
    with pytest.raises(ConfigError, match=r"3 rows \(train\) cannot be shared"):
        Share(0, 2).of(batch, "train", "last")
    sizes = [Share(rank, 2).of(batch, "val", "last").targets.shape[0] for rank in range(2)]
    assert sizes == [1, 2], "a mean over rows weighs them"


@given(st.integers(1, 6), st.integers(2, 5), st.sampled_from(["every_step", "last"]))
def test_fewer_rows_than_processes_are_each_counted_once(rows: int, size: int, pattern) -> None:
    inputs_TBI = torch.rand(5, rows, 2)
    targets = inputs_TBI.clone() if pattern == "every_step" else inputs_TBI[-1].clone()
    batch = Batch(inputs_TBI, targets)
    parts = [Share(rank, size).of(batch, "val", pattern) for rank in range(size)]
    assert all(part.inputs_TBI.shape[1] > 0 for part in parts)
    assert sum(part.spare for part in parts) == max(0, size - rows)
    counted = [part for part in parts if not part.spare]
    assert torch.equal(torch.cat([part.inputs_TBI for part in counted], 1), inputs_TBI)
    joined = torch.cat([part.targets for part in counted], 1 if pattern == "every_step" else 0)
    assert torch.equal(joined, targets)


OTHERS = [(_echo(), 3, 6), (_echo(), None, 2), (_echo(8), 4, 4), (Echo(1, length=7), 4, 4)]


@pytest.mark.parametrize(("task", "window", "position"), OTHERS)
def test_other_sequences_or_windows_begin_with_a_whole_one(
    task: Echo, window: int | None, position: int
) -> None:
    before = BatchStream(_echo(), "train", "every_step", 4)
    before.position = 3  # amid the second of sequences in two windows
    stream = BatchStream(task, "train", "every_step", window)
    stream.load_state_dict(before.state_dict())
    assert stream.position == position
    assert stream.at(stream.position).fresh
    assert not stream.goes_on_from(before.state_dict())


def test_a_window_cuts_no_sequence_with_a_target_at_its_end() -> None:
    before, after = (BatchStream(_echo(), "train", "last", window) for window in (4, 3))
    assert after.goes_on_from(before.state_dict())
    assert after.goes_on_from({"position": 2}), "of an older checkpoint"
