"""Sequences with a class each: what files hold, who trains and who is tested, and bad files."""

import math
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnexp.errors import ConfigError
from rnnexp.tasks.labelled import read_labelled

RNG = np.random.default_rng(0)
VALUES = RNG.normal(5, 3, (60, 7, 2))
CLASSES = np.repeat([0, 1, 2], [30, 20, 10])


@pytest.fixture
def labelled(plugins):
    return plugins.get("task", "labelled").cls


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", x=VALUES, y=CLASSES)
    return tmp_path / "data.npz"


def lines(folder: Path, text: str, name: str = "data.tsv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def all_of(task, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    batches = [task.batch(split, i) for i in range(task.num_batches(split))]
    inputs_NTI = torch.cat([b.inputs_TBI.transpose(0, 1) for b in batches])
    return inputs_NTI, torch.cat([b.targets for b in batches])


def test_each_class_is_shared_out_and_values_are_scaled_as_trained_ones(labelled, arrays) -> None:
    task = labelled(path=str(arrays), batch_size=1)
    parts = {split: all_of(task, split) for split in ("train", "val", "test")}
    counts = {split: torch.bincount(y).tolist() for split, (_, y) in parts.items()}
    assert counts == {"train": [22, 14, 6], "val": [4, 3, 2], "test": [4, 3, 2]}
    assert (task.length, task.input_size, task.output_size) == (7, 2, 3)
    trained = parts["train"][0].double()
    assert trained.mean((0, 1)).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert trained.std((0, 1), correction=0).tolist() == pytest.approx([1, 1], abs=1e-6)
    seen = torch.cat([inputs_NTI for inputs_NTI, _ in parts.values()])
    assert len({tuple(row) for row in seen.flatten(1).tolist()}) == 60  # each is in one part


def test_a_large_file_is_not_held_in_float64(labelled, tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (20_000, 100), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=values, y=np.arange(len(values)) % 2)
    tracemalloc.start()
    task = labelled(path=str(tmp_path / "data.npz"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (task.length, task.input_size) == (100, 1)
    assert peak < values.size * np.dtype(np.float64).itemsize


def test_guessing_by_shares_in_training_costs_the_baseline(labelled, arrays) -> None:
    task = labelled(path=str(arrays))
    _, targets = all_of(task, "test")
    guess = torch.tensor([22.0, 14.0, 6.0]).log().expand(len(targets), 3)
    assert task.baseline_of("test") == pytest.approx(float(task.loss(guess, targets)))
    assert task.baseline == task.baseline_of("val") < math.log(3)


def test_sequences_that_are_given_for_the_test_are_tested_all(labelled, tmp_path: Path) -> None:
    file = tmp_path / "data.npz"
    tested = {"x_test": VALUES[::3] + 100, "y_test": CLASSES[::3]}
    np.savez(file, x=VALUES, y=CLASSES, **tested)
    task = labelled(path=str(file))
    inputs_NTI, targets = all_of(task, "test")
    assert targets.tolist() == CLASSES[::3].tolist()
    assert bool((inputs_NTI > 15).all())
    assert len(all_of(task, "val")[1]) == 9  # 15 % of each class
    assert len(all_of(labelled(path=str(file), batch_size=51), "train")[1]) == 51


def test_a_text_has_the_class_first(labelled, tmp_path: Path) -> None:
    rows = "".join(f"{1 + n % 2}.0000e+00\t{n}\t{n + 0.5}\n" for n in range(20))
    test_rows = "1\t100\t100.5\n2\t100\t100.5\n"
    paths = [lines(tmp_path, text, name) for text, name in ((rows, "a.tsv"), (test_rows, "b.tsv"))]
    task = labelled(path=paths[0], test_path=paths[1])
    assert task.facts["labelled.classes"] == "1, 2"
    assert task.facts["labelled.sequences"] == "22"
    assert all_of(task, "test")[1].tolist() == [0, 1]
    assert bool((all_of(task, "test")[0] > 10).all())


def test_classes_may_be_texts_below_a_line_of_names(labelled, tmp_path: Path) -> None:
    rows = "".join(f"{('cat', 'dog')[n % 2]},{n},{n * n}\n" for n in range(20))
    task = labelled(path=lines(tmp_path, "animal,first,second\n" + rows, "data.csv"))
    assert task.facts["labelled.classes"] == "cat, dog"


def test_shorter_sequences_end_with_the_others(tmp_path: Path) -> None:
    read = read_labelled(lines(tmp_path, "1,1,2,3\n2,4,5,\n1,6,,\n", "data.csv"))
    shown = np.nan_to_num(read.values_NTI[..., 0], nan=0).tolist()
    assert shown == [[1, 2, 3], [0, 4, 5], [0, 0, 6]]
    ragged = read_labelled(lines(tmp_path, "2,4\n1,1,2,3\n1,6,7\n"))
    shown = np.nan_to_num(ragged.values_NTI[..., 0], nan=0).tolist()
    assert shown == [[0, 0, 4], [1, 2, 3], [0, 6, 7]], "whichever is the longest"
    longer = lines(tmp_path, "1,1,2,3,4\n", "longer.csv")
    both = read_labelled(lines(tmp_path, "1,7,8\n2,9,9\n", "short.csv"), longer)
    assert both.values_NTI.shape == (3, 4, 1)
    assert np.isnan(both.values_NTI[0, :2]).all()
    assert both.tested == 1


def test_steps_are_shuffled_alike_for_all(labelled, arrays) -> None:
    plain, mixed = (all_of(labelled(path=str(arrays), permuted=p), "test")[0] for p in (0, 1))
    order = [int((plain[0] == step).all(1).nonzero()) for step in mixed[0]]
    assert sorted(order) == list(range(7)) != order
    assert torch.equal(mixed, plain[:, order])


@pytest.mark.parametrize("permuted", [False, True])
def test_sequences_are_encoded_as_in_training(labelled, tmp_path: Path, permuted: bool) -> None:
    values, lengths = VALUES.copy(), RNG.integers(1, 8, 60)
    lengths[0] = 7
    for sequence, length in zip(values, lengths, strict=True):
        sequence[length:] = np.nan
    np.savez(tmp_path / "data.npz", x=values, y=CLASSES, x_test=values, y_test=CLASSES)
    task = labelled(path=str(tmp_path / "data.npz"), permuted=permuted)
    own = [sequence[:length] for sequence, length in zip(values, lengths, strict=True)]
    assert torch.equal(task.encode(own).transpose(0, 1), all_of(task, "test")[0])
    assert task.classes == ("0", "1", "2")
    assert len(task.facts["labelled.mean"].split(", ")) == 2


@pytest.mark.parametrize(
    ("sequence", "words"),
    [
        (np.zeros((8, 2)), r"2: must be of 1 to 7 steps with 2 values each, .* \(8, 2\)"),
        (np.zeros((0, 2)), "2: must be of 1 to 7 steps"),
        (np.zeros(5), r"2: must be .* with 2 values each, .* shape \(5,\)"),
        (5.0, "2: must be of 1 to 7 steps"),
        ([[1.0, np.nan]], "2: holds a value that is not finite"),
    ],
)
def test_what_is_no_sequence_of_the_task_is_not_encoded(
    labelled, arrays: Path, sequence: object, words: str
) -> None:
    with pytest.raises(ConfigError, match=f"sequence {words}"):
        labelled(path=str(arrays)).encode([VALUES[0], sequence])


def test_the_file_is_read_anew_where_it_has_changed(labelled, tmp_path: Path) -> None:
    rows = "".join(f"{n % 2},{n}\n" for n in range(20))
    path = lines(tmp_path, rows)
    before = labelled(path=path).facts["labelled.sha256"]
    assert labelled(path=path).facts["labelled.sha256"] == before
    file = Path(lines(tmp_path, rows.replace("19\n", "18\n")))
    later = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))
    assert labelled(path=path).facts["labelled.sha256"] != before


def test_by_default_there_are_three_shapes(labelled) -> None:
    task = labelled()
    assert task.facts["labelled.classes"] == "cylinder, bell, funnel"
    values_NTI, classes = all_of(task, "test")
    assert values_NTI.shape == (135, 128, 1)
    middle = values_NTI[:, 40:48, 0].mean(1)  # where all three have begun, and none has ended
    assert float(middle[classes == 0].mean()) > float(middle[classes == 1].mean()) + 0.3
    assert task.baseline == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3\n1,4,5\n", "all sequences are of the class '1'"),
        ("1,2\n2,3\n1,4\n2,5\n", "none is left for val"),
        ("1\n2\n", "one column is there"),
        ("1,2,3\n,4,5\n", "sequence 2 has no class"),
        ("1,2,3\n2,,5\n", "sequence 2 has no finite value at step 1"),
        ("1,2,3\n2,,\n", "sequence 2 has no finite value at step 1"),
        ("1,2,3\n2,x,5\n", "'x' in row 2 of column '1' is no finite number"),
        (
            "cat,2,3\ndog,4,5\n",
            "holds names and numbers. If it names the columns, .* a line of names above",
        ),
    ],
)
def test_a_bad_text_is_refused(labelled, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        labelled(path=lines(tmp_path, text))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": VALUES}, "has no array 'y'; x and y are needed"),
        ({"x": VALUES, "y": CLASSES, "x_test": VALUES}, "has no array 'y_test'"),
        ({"x": VALUES[0, 0], "y": CLASSES}, r"x must hold numbers, .* of shape \(2,\)"),
        ({"x": VALUES.astype(str), "y": CLASSES}, "x must hold numbers"),
        ({"x": VALUES, "y": CLASSES[:5]}, "y has 5 classes for the 60 sequences of x"),
        ({"x": VALUES, "y": CLASSES[:, None]}, r"for each sequence, got int64 of shape \(60, 1\)"),
        ({"x": VALUES, "y": CLASSES / 2}, "y has 0.5 for sequence 31; a class is a whole number"),
        ({"x": VALUES, "y": CLASSES + np.inf}, "y has inf for sequence 1; a class is"),
        ({"x": VALUES * np.inf, "y": CLASSES}, "x of .* sequence 1 has no finite value at step 1"),
        (
            {"x": VALUES, "y": CLASSES, "x_test": VALUES[..., :1], "y_test": CLASSES},
            "x and x_test have other features",
        ),
        (
            {"x": VALUES, "y": CLASSES, "x_test": VALUES, "y_test": CLASSES + 1},
            "the class '3' is in no training sequence",
        ),
    ],
)
def test_bad_arrays_are_refused(labelled, tmp_path: Path, arrays: dict, words: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ConfigError, match=words):
        labelled(path=str(tmp_path / "data.npz"))


def test_a_feature_that_does_not_vary_in_training_is_not_scaled(labelled, tmp_path: Path) -> None:
    values, tested = VALUES.copy(), VALUES.copy()
    values[..., 1], tested[..., 1] = 0.1, 0.2
    np.savez(tmp_path / "data.npz", x=values, y=CLASSES, x_test=tested, y_test=CLASSES)
    inputs_NTI, _ = all_of(labelled(path=str(tmp_path / "data.npz")), "test")
    np.testing.assert_allclose(inputs_NTI[..., 1], 0.1, rtol=1e-6)


@pytest.mark.parametrize(
    ("trained", "tested"), [(1e200, 1e200), (1e307, 1e307), (1, 1e200)], ids=str
)
def test_values_beyond_what_can_be_scaled_are_refused(
    labelled, tmp_path: Path, trained: float, tested: float
) -> None:
    arrays = {"x": VALUES * trained, "x_test": VALUES * tested}
    np.savez(tmp_path / "data.npz", **arrays, y=CLASSES, y_test=CLASSES)
    with pytest.raises(ConfigError, match=r"feature 1 reaches 1.*e\+\d+ and cannot be scaled"):
        labelled(path=str(tmp_path / "data.npz"))


def test_files_that_are_none_are_refused(labelled, tmp_path: Path, arrays: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        labelled(path=str(tmp_path / "other.npz"))
    (tmp_path / "torn.npz").write_bytes(arrays.read_bytes()[:100])
    with pytest.raises(ConfigError, match="no arrays that can be read"):
        labelled(path=str(tmp_path / "torn.npz"))
    for path in ("~nobody_of_this_name/a.npz", "a\0b.npz", "~nobody_of_this_name/a.csv", "a\0b"):
        with pytest.raises(ConfigError, match=r"can be read: (Could not|embedded null)"):
            labelled(path=path)
    with pytest.raises(ConfigError, match="holds its own as x_test, y_test"):
        labelled(path=str(arrays), test_path=str(arrays))
    with pytest.raises(ConfigError, match=r"needs a task\.path to train on"):
        labelled(test_path=str(arrays))
