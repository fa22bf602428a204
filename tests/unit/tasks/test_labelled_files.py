"""Sequences and classes from files: one numbering over all of them, one end, and damaged files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from rnnexp.errors import ConfigError
from rnnexp.tasks.labelled import read_labelled

VALUES = np.arange(12.0).reshape(4, 3)
TESTED = 2**62 + np.arange(4)


def written(folder: Path, name: str, classes: list[str]) -> str:
    rows = "".join(f"{word},{row},{row * row}\n" for row, word in enumerate(classes))
    (folder / name).write_text("c,t0,t1\n" + rows)
    return str(folder / name)


@pytest.mark.parametrize(
    ("classes", "tested", "names", "numbers"),
    [
        (["1", "1.0", "1.0000e+00", "2"], ["2"], ("1", "2"), [0, 0, 0, 1, 1]),
        (["10", "9", "-0.0", "0.5"], ["0"], ("0", "0.5", "9", "10"), [3, 2, 0, 1, 0]),
        (["01", "x"], ["01"], ("01", "x"), [0, 1, 0]),
        (["1", "2"], ["1.0", "x"], ("1", "1.0", "2", "x"), [0, 2, 1, 3]),
        (["None", "n/a"], ["NA"], ("NA", "None", "n/a"), [1, 2, 0]),
        ([f"{2**53}", f"{2**53 + 1}"], ["0"], ("0", f"{2**53}", f"{2**53 + 1}"), [1, 2, 0]),
        (["1e300", "1e19"], ["9" * 5000], ("1e19", "1e300", "9" * 5000), [1, 0, 2]),
        (["1_0", "10"], ["inf"], ("10", "1_0", "inf"), [1, 0, 2]),
    ],
    ids=["forms", "order", "texts", "texts of all", "NA", "beyond 2^53", "large", "no numbers"],
)
def test_classes_are_numbers_where_all_of_them_are(
    tmp_path: Path,
    classes: list[str],
    tested: list[str],
    names: tuple[str, ...],
    numbers: list[int],
) -> None:
    paths = written(tmp_path, "a.csv", classes), written(tmp_path, "b.csv", tested)
    read = read_labelled(*paths)
    assert read.names == names
    assert read.classes_N.tolist() == numbers


@pytest.mark.parametrize(
    ("classes", "tested", "names"),
    [
        (TESTED.astype(np.uint64), TESTED, tuple(map(str, TESTED))),
        (np.array([True, False] * 2), np.array([0, 1] * 2), ("0", "1")),
        (np.array(["a ", "b"] * 2), np.array([" a"] * 4), ("a", "b")),
        (np.array([0.0, -1.0] * 2), np.zeros(4, np.float32), ("-1", "0")),
    ],
    ids=["widths", "bool", "texts", "whole floats"],
)
def test_classes_of_arrays(
    tmp_path: Path, classes: np.ndarray, tested: np.ndarray, names: tuple[str, ...]
) -> None:
    np.savez(tmp_path / "a.npz", x=VALUES, y=classes, x_test=VALUES, y_test=tested)
    assert read_labelled(str(tmp_path / "a.npz")).names == names


def test_no_sequence_begins_with_what_all_of_them_lack(tmp_path: Path) -> None:
    padded = np.pad(VALUES, ((0, 0), (0, 5)), constant_values=np.nan)
    np.savez(tmp_path / "a.npz", x=padded, y=np.arange(4))
    np.testing.assert_array_equal(read_labelled(str(tmp_path / "a.npz")).values_NTI[..., 0], VALUES)


def test_columns_in_another_order_are_refused(tmp_path: Path) -> None:
    path, other = written(tmp_path, "a.csv", ["x", "y"]), tmp_path / "b.csv"
    other.write_text("c,t1,t0\nx,1,2\n")
    with pytest.raises(
        ConfigError, match=r"task\.test_path=.*columns of task\.path in another ord"
    ):
        read_labelled(path, str(other))
    other.write_text("label,u,v\nx,1,2\n")
    assert read_labelled(path, str(other)).tested == 1
    assert read_labelled(path, path).tested == 2


@pytest.mark.parametrize("at", [60, 100, 200, 400])
def test_a_damaged_archive_is_refused(tmp_path: Path, at: int) -> None:
    rng = np.random.default_rng(0)
    np.savez_compressed(tmp_path / "a.npz", x=rng.normal(size=(40, 50)), y=np.arange(40))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[at : at + 8] = bytes(byte ^ 0xFF for byte in content[at : at + 8])
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ConfigError, match="no arrays that can be read: "):
        read_labelled(str(tmp_path / "a.npz"))


def test_what_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "x.npy").rename(tmp_path / "one.npz")
    (tmp_path / "empty.npz").touch()
    with zipfile.ZipFile(tmp_path / "texts.npz", "w") as file:
        file.writestr("x", "hello")
    np.savez(tmp_path / "nameless.npz", x=VALUES, y=np.array(["a", " ", "b", "b"]))
    (tmp_path / "folder.npz").mkdir()
    for name, words in {
        "one": "it holds one array without a name",
        "empty": "No data left in file",
        "texts": "'x' in it is no array",
        "nameless": "x of .*: sequence 2 has no class",
        "folder": "is no regular file",
    }.items():
        with pytest.raises(ConfigError, match=words):
            read_labelled(str(tmp_path / f"{name}.npz"))
