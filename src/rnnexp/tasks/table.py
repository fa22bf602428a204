"""Columns of numbers from a file, checked: what a task of measurements is made of."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnexp.errors import ConfigError, suggest

if TYPE_CHECKING:
    import pandas as pd

Values = np.ndarray[Any, np.dtype[np.float64]]
_WRITTEN_OTHERWISE = re.compile(r"[-+]?\d+(,\d+)+(\.\d+)?|[-+]?\d+(\.\d+)?\s?%")
"""With a decimal comma, with separated thousands, or as a percentage."""
_NAMELESS, _BEYOND = "\0", "\0beyond"


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
    names = columns or [name for name, column in table.items() if _is_meant(column)]
    if not names:
        raise ConfigError(
            f"task.path={path}: no column of it holds numbers. Between columns stands a comma, a "
            "semicolon or a tab."
        )
    hint = ", or name the columns to be read in task.columns"
    return {name: _checked(path, name, table[name], hint) for name in names}


def read_rows(path: str) -> "tuple[np.ndarray[Any, np.dtype[Any]], Values]":
    """Read a table with a class in its first column, and numbers in the others.

    Args:
        path: as that of `read_columns`.

    Returns:
        The classes, shape (N,), as whole numbers where all are, else as texts; and the numbers,
        shape (N, C), in float64, NaN where one is missing.

    Raises:
        ConfigError: the file is no such table.
    """
    (name, classes), *columns = _table(path).items()
    if not columns:
        raise ConfigError(
            f"task.path={path}: one column is there, '{name}'; the class comes first, and then the "
            "values, with a comma, a semicolon or a tab between them."
        )
    if classes.isna().any():
        row = int(classes.isna().to_numpy().argmax()) + 1
        raise ConfigError(f"task.path={path}: row {row} has no class in its first column.")
    values_NC = np.stack([_checked(path, *column, hint="") for column in columns], axis=1)
    return _classes(classes), values_NC


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
    file = Path(path).expanduser()
    try:
        return _array(file) if file.suffix == ".npy" else _csv(file)
    except OSError as error:
        raise ConfigError(f"task.path={path}: cannot be read: {error.strerror}.") from error
    except (ValueError, EOFError, csv.Error) as error:  # of pandas and numpy, and of no UTF-8
        raise ConfigError(f"task.path={path}: no table that can be read: {error}.") from error


def _array(file: Path) -> "Mapping[str, pd.Series]":
    import pandas as pd  # half a second, which other tasks do not need

    array = np.load(file, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = getattr(array, "dtype", "several arrays")
        raise ValueError(f"it holds {kind}, not one array of real numbers")
    frame = pd.DataFrame(array)
    return {str(name): column for name, column in frame.items()}


def _csv(file: Path) -> "Mapping[str, pd.Series]":
    import pandas as pd

    separator, names, is_head = _first_line(file)
    frame = pd.read_csv(
        file,
        sep=separator,
        header=None,
        names=[*(name or f"{_NAMELESS}{place}" for place, name in enumerate(names)), _BEYOND],
        skiprows=int(is_head),
        index_col=False,
        skip_blank_lines=False,
        skipinitialspace=True,
        encoding="utf-8-sig",
        low_memory=False,  # else a column may be of numbers here and of texts there
    )
    beyond = frame.pop(_BEYOND).notna().to_numpy()
    if beyond.any():
        raise ValueError(
            f"row {int(beyond.argmax()) + 1} has more fields than the {len(names)} of the first "
            "line; are there decimal commas?"
        )
    filled = np.flatnonzero(frame.notna().any(axis=1))
    frame = frame.iloc[: int(filled.max(initial=-1)) + 1]  # no row is missing behind the last
    # Without a name is what pandas writes as the index of a table.
    return {name: column for name, column in frame.items() if _NAMELESS not in str(name)}


def _first_line(file: Path) -> tuple[str, list[str], bool]:
    with file.open(encoding="utf-8-sig") as lines:
        first = lines.readline()
    separator = max(",;\t", key=first.count)
    words = [word.strip() for word in next(csv.reader([first], delimiter=separator), [])]
    if _holds_names(words):
        return separator, words, True
    return separator, [str(place) for place in range(len(words))], False


def _holds_names(words: Sequence[str]) -> bool:
    from pandas._libs.parsers import STR_NA_VALUES

    numbers = [_is_number(word) for word in words if word not in STR_NA_VALUES]
    if any(numbers) and not all(numbers):
        raise ValueError(
            f"its first line, '{','.join(words)[:80]}', holds names and numbers; write a line of "
            "names above"
        )
    return bool(numbers) and not numbers[0]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return bool(_WRITTEN_OTHERWISE.fullmatch(word))
    return True


def _as_numbers(column: "pd.Series") -> Values:
    import pandas as pd

    return np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)


def _is_meant(column: "pd.Series") -> bool:
    if not np.isnan(_as_numbers(column)).all():
        return True
    known = column.dropna()
    return len(known) > 0 and bool(_WRITTEN_OTHERWISE.fullmatch(str(known.iloc[0]).strip()))


def _classes(column: "pd.Series") -> np.ndarray[Any, np.dtype[Any]]:
    values_N = column.to_numpy()
    if values_N.dtype.kind == "f" and (values_N % 1 == 0).all():  # the UCR archive has 1.0000e+00
        return values_N.astype(np.int64)
    return values_N if values_N.dtype.kind in "biu" else values_N.astype(str)


def _checked(path: str, name: str, column: "pd.Series", hint: str) -> Values:
    values_N = _as_numbers(column)
    bad_N = np.isinf(values_N) | (np.isnan(values_N) & column.notna().to_numpy())
    if bad_N.any():
        row = int(bad_N.argmax())
        raise ConfigError(
            f"task.path={path}: '{column.iloc[row]}' in row {row + 1} of column '{name}' is no "
            f"finite number such as 1234.5. Leave the place empty where a value is missing{hint}."
        )
    return values_N
