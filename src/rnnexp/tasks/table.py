"""Columns of numbers from a file, checked: what a task of measurements is made of."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnexp.errors import ConfigError, suggest

if TYPE_CHECKING:
    import pandas as pd

Values = np.ndarray[Any, np.dtype[np.float64]]


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
    table = _table(path)
    for name in columns:
        check_column("task.columns", name, table)
    names = columns or [name for name, column in table.items() if _has_numbers(column)]
    if not names:
        raise ConfigError(f"task.path={path}: no column of it holds numbers.")
    return {name: _checked(path, name, table[name]) for name in names}


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


def _table(path: str) -> "Mapping[str, pd.Series]":
    import pandas as pd  # half a second, which other tasks do not need

    file = Path(path).expanduser()
    try:
        if file.suffix == ".npy":
            frame = pd.DataFrame(np.load(file, allow_pickle=False))
        else:
            frame = pd.read_csv(file, **_dialect(file))
    except OSError as error:
        raise ConfigError(f"task.path={path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:  # of pandas and numpy, and of what is no UTF-8
        raise ConfigError(f"task.path={path}: no table that can be read: {error}.") from error
    return {str(name): column for name, column in frame.items()}


def _dialect(file: Path) -> dict[str, Any]:
    with file.open(encoding="utf-8-sig") as lines:
        first = lines.readline()
    separator = max(",;\t", key=first.count)
    unnamed = all(_is_number(word) for word in first.split(separator))
    return {"sep": separator, "header": None if unnamed else 0}


def _is_number(word: str) -> bool:
    try:
        float(word.strip().strip('"') or "nan")
    except ValueError:
        return False
    return True


def _as_numbers(column: "pd.Series") -> Values:
    import pandas as pd

    return np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)


def _has_numbers(column: "pd.Series") -> bool:
    return not np.isnan(_as_numbers(column)).all()


def _checked(path: str, name: str, column: "pd.Series") -> Values:
    values_N = _as_numbers(column)
    bad_N = np.isinf(values_N) | (np.isnan(values_N) & column.notna().to_numpy())
    if bad_N.any():
        row = int(bad_N.argmax())
        raise ConfigError(
            f"task.path={path}: '{column.iloc[row]}' in row {row + 1} of column '{name}' is no "
            "finite number. Leave the place empty where a value is missing, or name the columns "
            "to be read in task.columns."
        )
    return values_N
