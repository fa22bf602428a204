"""Columns of numbers: what a table may look like, and what is said of one that cannot be read."""

import os
from pathlib import Path

import numpy as np
import pytest

from rnnexp.errors import ConfigError
from rnnexp.tasks.table import read_columns


def written(folder: Path, text: str, name: str = "table.csv") -> str:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    "text",
    [
        "day,wind,rain\n1 Jan,1.5,0\n2 Jan,2.5,\n",
        "day;wind;rain\n1 Jan;1.5;0\n2 Jan;2.5;\n",
        "\ufeffday\twind\train\n1 Jan\t1.5\t0\n2 Jan\t2.5\t\n\n",
    ],
)
def test_columns_of_numbers_are_read_by_name(tmp_path: Path, text: str) -> None:
    table = read_columns(written(tmp_path, text))
    assert list(table) == ["wind", "rain"], "days are no numbers"
    np.testing.assert_array_equal(table["wind"], [1.5, 2.5])
    np.testing.assert_array_equal(table["rain"], [0, np.nan])


def test_a_table_without_names_loses_no_row(tmp_path: Path) -> None:
    table = read_columns(written(tmp_path, "1,2\n3,4\n"))
    assert {name: column.tolist() for name, column in table.items()} == {"0": [1, 3], "1": [2, 4]}


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("1,NA\n2,3\n", {"0": [1, 2], "1": [np.nan, 3]}),
        ("a,b\n1,2,\n3,4,\n", {"a": [1, 3], "b": [2, 4]}),
        ("date;a;b\n2020-01-01;1;2;\n", {"a": [1], "b": [2]}),
        (",a\n0,1.5\n1,2.5\n", {"a": [1.5, 2.5]}),
        ("a\n1\n\n3\n\n\n", {"a": [1, np.nan, 3]}),
        ("a, b\n1, 2\n", {"a": [1], "b": [2]}),
        ("a,b\n1,NaN\n3, \n\n4,5\n", {"a": [1, 3, np.nan, 4], "b": [np.nan, np.nan, np.nan, 5]}),
        ("a,b,\n1,\n3,4\n", {"a": [1, 3], "b": [np.nan, 4]}),
        (",0,1\n0,1.5,2\n1,2.5,3\n", {"0": [1.5, 2.5], "1": [2, 3]}),
        ("a (s, UTC);b\n1;2\n3;4\n", {"a (s, UTC)": [1, 3], "b": [2, 4]}),
        ('"a;b;c",d\n1,2\n', {"a;b;c": [1], "d": [2]}),
        ('a,b,c\n1,x,True\n2,"y, z",False\n', {"a": [1, 2], "c": [1, 0]}),
        ("a,b\nTrue,2\n,4\nFalse,1\n", {"a": [1, np.nan, 0], "b": [2, 4, 1]}),
        ("a,b\n123456789012345678901,2\n5,4\n", {"a": [1.2345678901234568e20, 5], "b": [2, 4]}),
    ],
    ids=[
        *("missing first", "trailing", "trailing;", "index", "empty lines", "spaces"),
        *("missing last", "shorter than its names"),
        *("index of pandas", "separator in names", "separator in quotes", "texts"),
        *("True beside nothing", "beyond 64 bits"),
    ],
)
def test_rows_and_columns_stay_where_they_are(
    tmp_path: Path, text: str, table: dict[str, list[float]]
) -> None:
    read = read_columns(written(tmp_path, text))
    assert list(read) == list(table)
    for name, column in table.items():
        np.testing.assert_array_equal(read[name], column)


@pytest.mark.parametrize("shape", [(6,), (6, 2)])
def test_arrays_are_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "x.npy", values)
    table = read_columns(str(tmp_path / "x.npy"))
    np.testing.assert_array_equal(np.stack(list(table.values()), 1), values.reshape(6, -1))
    assert table["0"].dtype == np.float64


def test_named_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    table = read_columns(written(tmp_path, "a,b,c\n1,2,3\n4,5,6\n"), ("c", "a"))
    assert list(table) == ["c", "a"]


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("a,b\n1,2\n3,x\n", (), "'x' in row 2 .line 3. of column 'b' is no finite number"),
        ("a,b\n1,2\n3,inf\n", (), "'inf' in row 2 .line 3. of column 'b'"),
        ("wind,rain\n1,2\n", ("wnd",), "task.columns: there is no column 'wnd'. Did you mean"),
        ("day\n1 Jan\n", (), "no column of it holds numbers"),
        ("a,b\n1,2\n1,2,3,4\n", (), "no table that can be read: Error tokenizing data"),
        ("", (), "no column of it holds numbers. Between columns stands"),
        ("a\n1,5\n", (), "row 1 .line 2. has more fields than the 1 of the first line; are"),
        ("a;b\n1;2,5\n", (), "'2,5' in row 1 .line 2. of column 'b' is no finite number such as"),
        ('a,b\n1,"1,234"\n', (), "'1,234' in row 1 .line 2. of column 'b'"),
        ("a\n5%\n", (), "'5%' in row 1"),
        ("2020-01-01,1.5\n2020-01-02,2.5\n", (), "its first line, .* holds names and numbers"),
        ("a\n1,,2\n", (), "a row has more fields than the 1 of the first line; are there decimal"),
        ("1,2\nx,4\n", ("0",), "'x' in row 2 of column '0'"),
        ("a,a\n1,2\n", (), "Duplicate names"),
        ("a,b,c\n1,,\n2,3,4\n5,6\n", (), r"row 3 \(line 4\) has 2 of 3 fields. Leave the place"),
        ("1;2\n3\n4;5\n", (), "row 2 has 1 of 2 fields"),
        ('day,a\n1,1\n"2,2\n3,3\n"4,4\n', (), "the quote in line 3 does not end there; close"),
        ('day,a\n1,1\n\n"2,2\n3,3\n', (), "the quote in line 4 does not end there"),
        ('1,1\n"2,2\n3,3"\n', (), "the quote in line 2 does not end there"),
        ('day,"a\n1,1\n2",2\n', (), "the quote in line 1 does not end there"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, text: str, columns: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        read_columns(written(tmp_path, text), columns)


def test_a_text_beside_numbers_is_left_out_where_others_are_named(tmp_path: Path) -> None:
    assert list(read_columns(written(tmp_path, "a,b\n1,2\n3,x\n"), ("a",))) == ["a"]


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.npy"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_columns(str(tmp_path / name))


def test_a_pipe_is_no_file_that_can_be_read_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "."):
        with pytest.raises(ConfigError, match="is no regular file but a pipe, a folder or a dev"):
            read_columns(str(tmp_path / name))


@pytest.mark.parametrize("path", ["~nobody_of_this_name/a.csv", "a\0b.csv"])
def test_a_name_that_no_file_can_have(path: str) -> None:
    with pytest.raises(ConfigError, match=r"task\.path=.*can be read: [Ce]"):
        read_columns(path)


def test_arrays_of_more_axes_or_of_objects_are_no_tables(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "any.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "complex.npy", np.zeros(2, dtype=complex))
    np.savez(tmp_path / "several", a=np.zeros(2))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    (tmp_path / "empty.npy").touch()
    for name in ("cube.npy", "any.npy", "complex.npy", "several.npy", "empty.npy"):
        with pytest.raises(ConfigError, match="no table that can be read"):
            read_columns(str(tmp_path / name))
