"""Sequences in the rows of a table: where the class stands, what is a name, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from rnnexp.errors import ConfigError
from rnnexp.tasks.table import read_rows


def written(folder: Path, text: str) -> str:
    (folder / "rows.csv").write_text(text, encoding="utf-8")
    return str(folder / "rows.csv")


@pytest.mark.parametrize(
    ("text", "names", "classes"),
    [
        ("c,t0,t1\na,1,2\nb,3,4\n", ("c", "t0", "t1"), ["a", "b"]),
        (",t0,t1\na,1,2\nb,3,4\n", ("", "t0", "t1"), ["a", "b"]),
        (",0,1\n5,1,2\n6,3,4\n", ("", "0", "1"), ["5", "6"]),
        ("c,t0,t1,\na,1,2,\nb,3,4,\n", ("c", "t0", "t1"), ["a", "b"]),
        ("c,t0,t1\n None ,1,2\nNA,3,4\n\n", ("c", "t0", "t1"), ["None", "NA"]),
        ("c,t0,t1\n01,1,2\n,3,4\n", ("c", "t0", "t1"), ["01", ""]),
        ("1.0,1,2\nnan,3,4\n", (), ["1.0", "nan"]),
    ],
    ids=["named", "nameless", "of pandas", "trailing", "None", "no class", "no names"],
)
def test_the_class_comes_first(
    tmp_path: Path, text: str, names: tuple[str, ...], classes: list[str]
) -> None:
    rows = read_rows("task.path", written(tmp_path, text))
    assert rows.names == names
    assert rows.classes == classes
    assert rows.values_NC.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("places", "values_N"),
    [
        (("True", "", "False"), [1, np.nan, 0]),
        (("123456789012345678901", "1", "2"), [1.2345678901234568e20, 1, 2]),
    ],
)
def test_what_pandas_holds_as_objects_are_numbers(
    tmp_path: Path, places: tuple[str, ...], values_N: list[float]
) -> None:
    lines = [f"{name},{place}" for name, place in zip("xyz", places, strict=True)]
    rows = read_rows("task.path", written(tmp_path, "\n".join(["c,t0", *lines])))
    np.testing.assert_array_equal(rows.values_NC[:, 0], values_N)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c,t0,\na,1,2\n", "column 3 has no name in the first line"),
        ("c,t0,t1\n", "no sequence is there"),
        ("", "no sequence is there"),
        ("\n\n\n", "no sequence is there"),
        ("c\na\n", "one column is there"),
        ("0,1,2\n5,1,2\n", "its first line is 0, 1, 2. If these are names of the columns, write"),
        ("c,t0\na,1,,2\n", "a row has more fields than the 2 of the first line"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"task.test_path=.*{words}"):
        read_rows("task.test_path", written(tmp_path, text))


def test_an_array_has_its_classes_first(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", [[1.0, 2.5], [np.nan, 3.0]])
    rows = read_rows("task.path", str(tmp_path / "x.npy"))
    assert (rows.names, rows.classes) == ((), ["1.0", ""])
    np.save(tmp_path / "x.npy", np.eye(2) > 0)
    assert read_rows("task.path", str(tmp_path / "x.npy")).classes == ["1", "0"]
    np.save(tmp_path / "x.npy", np.empty((0, 2)))
    with pytest.raises(ConfigError, match="no sequence is there"):
        read_rows("task.path", str(tmp_path / "x.npy"))
