"""Columns of numbers from a file, checked: what a task of measurements is made of."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnnexp.errors import ConfigError, suggest
from rnnexp.tasks.frame import NAMELESS, WRITTEN_OTHERWISE, read_frame, row_in

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, np.dtype[Any]]
Values = np.ndarray[Any, np.dtype[np.float64]]


class Rows(NamedTuple):
    """A table with a class in each row, and numbers.

    Args:
        names: of its columns, that of the class first, which may be ''; empty where the file has
            none.
        classes: a text for each row; empty where a row has no class.
        values_NC: the numbers, shape (N, C), of the file's own type; NaN where one is missing.
    """

    names: tuple[str, ...]
    classes: list[str]
    values_NC: Array


def read_columns(path: str, columns: Sequence[str] = ()) -> dict[str, Values]:
    """Read the columns of a table that hold numbers.

    Args:
        path: a CSV file (comma, semicolon or tab), with or without names in its first line, or a
            .npy file of shape (N,) or (N, C); columns without names are called 0, 1, ...
        columns: which; empty takes each that holds numbers, and leaves out those of dates or texts.

    Returns:
        The values by the column's name, shape (N,), in float64; NaN where one is missing.

    Raises:
        ConfigError: the file is no table, has no such column, or an entry is no finite number.
    """
    frame, named = read_frame("task.path", path)
    # Without a name is what pandas writes as the index of a table.
    table = {str(name): column for name, column in frame.items() if not _is_nameless(name)}
    for name in columns:
        check_column("task.columns", name, table)
    names = columns or [name for name, column in table.items() if _is_meant(column)]
    if not names:
        raise ConfigError(
            f"task.path={path}: no column of it holds numbers. Between columns stands a comma, a "
            "semicolon or a tab."
        )
    hint = ", or name the columns to be read in task.columns"
    where = f"task.path={path}"
    read = {name: _checked(where, name, table[name], named, hint) for name in names}
    return {name: values_N.astype(np.float64) for name, values_N in read.items()}


def read_rows(key: str, path: str) -> Rows:
    """Read a table with a class in its first column, and numbers in the others.

    Args:
        key: of the option that names the file.
        path: as that of `read_columns`; the column of the classes needs no name, others do.

    Raises:
        ConfigError: the file is no such table.
    """
    where = f"{key}={path}"
    frame, named = read_frame(key, path, labelled=True)
    if frame.empty:
        raise ConfigError(f"{where}: no sequence is there; one stands in each line.")
    _check_named(where, frame)
    (first, classes), *others = frame.items()
    columns = {str(name): column for name, column in others if not _is_nameless(name)}
    if not columns:
        raise ConfigError(
            f"{where}: one column is there; the class comes first, and then the values, with a "
            "comma, a semicolon or a tab between them."
        )
    values_NC = np.stack([_checked(where, *column, named) for column in columns.items()], axis=1)
    names = "" if _is_nameless(first) else str(first), *columns
    return Rows(names if named else (), _texts(classes), values_NC)


def check_column(key: str, name: str, known: Iterable[str]) -> None:
    """Refuse the name of a column that is not there.

    Args:
        key: of the option that names it.
        name: the column.
        known: those that are there.

    Raises:
        ConfigError: there is no such column.
    """
    if name not in known:
        raise ConfigError(f"{key}: there is no column '{name}'. {suggest(name, known)}")


def _is_nameless(name: object) -> bool:
    return str(name).startswith(NAMELESS)


def _check_named(where: str, frame: "pd.DataFrame") -> None:
    for place, (name, column) in enumerate(frame.items()):
        if place and _is_nameless(name) and column.notna().any():
            raise ConfigError(
                f"{where}: column {place + 1} has no name in the first line, where others have "
                "one, and holds something. Name it, or take it out."
            )


def _texts(column: "pd.Series") -> list[str]:
    values = column.astype(int) if column.dtype.kind == "b" else column
    return ["" if missing else str(v) for v, missing in zip(values, column.isna(), strict=True)]


def _as_numbers(column: "pd.Series") -> Array:
    import pandas as pd

    return np.asarray(pd.to_numeric(column, errors="coerce"))


def _is_meant(column: "pd.Series") -> bool:
    if not np.isnan(_as_numbers(column)).all():
        return True
    known = column.dropna()
    return len(known) > 0 and bool(WRITTEN_OTHERWISE.fullmatch(str(known.iloc[0]).strip()))


def _checked(where: str, name: str, column: "pd.Series", named: bool, hint: str = "") -> Array:
    values_N = _as_numbers(column)
    bad_N = np.isinf(values_N) | (np.isnan(values_N) & column.notna().to_numpy())
    if bad_N.any():
        row = int(bad_N.argmax())
        raise ConfigError(
            f"{where}: '{column.iloc[row]}' in {row_in(named, row)} of column '{name}' is no "
            f"finite number such as 1234.5. Leave the place empty where a value is missing{hint}."
        )
    return values_N
