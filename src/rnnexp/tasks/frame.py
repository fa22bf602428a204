"""A table from a file, as it stands there: rows and columns, and whether these have names."""

import csv
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rnnexp.tasks.files import reading

if TYPE_CHECKING:
    import pandas as pd

WRITTEN_OTHERWISE = re.compile(r"[-+]?\d+(,\d+)+(\.\d+)?|[-+]?\d+(\.\d+)?\s?%")
"""With a decimal comma, with separated thousands, or as a percentage."""
NAMELESS = "\0"
"""With it begins what a column without a name is called."""
_BEYOND = "\0beyond"
_JUDGED = 100
"""So many lines say which separator it is: the names of columns may hold others."""
_UNENDED = re.compile(r"EOF inside string starting at row (\d+)")
"""What pandas says of a quote that nothing closes; rows count from 0."""


class Frame(NamedTuple):
    """A table as its file has it.

    Args:
        frame: the columns by name; NaN where nothing stands.
        named: whether the file has a line of names; else the columns are called 0, 1, ...
    """

    frame: "pd.DataFrame"
    named: bool


def read_frame(key: str, path: str, *, labelled: bool = False) -> Frame:
    """Read a table.

    Args:
        key: of the option that names the file.
        path: a CSV file (comma, semicolon or tab) or a .npy file of shape (N,) or (N, C).
        labelled: whether its first column holds classes: of a CSV file, texts without the spaces
            around them, whatever they look like.

    Raises:
        ConfigError: the file is no table.
    """
    with reading(key, path, "table") as file:
        return _array(file) if file.suffix == ".npy" else _csv(file, labelled)


def _array(file: Path) -> Frame:
    import pandas as pd  # half a second, which other tasks do not need

    array = np.load(file, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = getattr(array, "dtype", "several arrays")
        raise ValueError(f"it holds {kind}, not one array of real numbers")
    return Frame(pd.DataFrame(array).rename(columns=str), named=False)


def _csv(file: Path, labelled: bool) -> Frame:
    separator, names, named = _first_line(file, labelled)
    if labelled and not named:
        names = _places(_most_fields(file, separator))
    called = [name or f"{NAMELESS}{place}" for place, name in enumerate(names)]
    frame = _parsed(file, separator, [*called, _BEYOND], int(named), labelled)
    _check_lines(frame, int(named))
    beyond = frame.pop(_BEYOND).notna().to_numpy()
    if beyond.any():
        raise ValueError(f"{row_in(named, int(beyond.argmax()))} {_more_than(names)}")
    if not labelled:
        _check_whole(file, separator, names, named, frame)
    if labelled and names:
        classes = frame[called[0]].str.strip()
        frame[called[0]] = classes.where(classes != "")
    filled = np.flatnonzero(frame.notna().any(axis=1))
    # No row is missing behind the last.
    return Frame(frame.iloc[: int(filled.max(initial=-1)) + 1], named)


def _parsed(
    file: Path, separator: str, called: Sequence[str], skipped: int, labelled: bool
) -> "pd.DataFrame":
    import pandas as pd
    from pandas._libs.parsers import STR_NA_VALUES

    # A class may be called None or NA; only an empty place is none.
    missing = dict.fromkeys(called, STR_NA_VALUES) | ({called[0]: {""}} if labelled else {})
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # that fields are left out
        try:
            return pd.read_csv(
                file,
                sep=separator,
                header=None,
                names=called,
                dtype={0: str} if labelled else None,
                na_values=missing,
                keep_default_na=False,
                skiprows=skipped,
                index_col=False,
                skip_blank_lines=False,
                skipinitialspace=True,
                encoding="utf-8-sig",
                low_memory=False,  # else a column may be of numbers here and of texts there
            )
        except pd.errors.ParserWarning as warning:
            raise ValueError(f"a row {_more_than(called[:-1])}") from warning
        except pd.errors.ParserError as error:
            if unended := _UNENDED.search(str(error)):
                raise _open_quote(int(unended[1])) from error
            raise


def _check_lines(frame: "pd.DataFrame", skipped: int) -> None:
    # Up to the next quote, which may be another text's, the lines between would be lost unsaid.
    others = frame.select_dtypes(exclude=["number", "bool"])  # not all texts: True beside nothing
    breaks = others.map(lambda cell: isinstance(cell, str) and "\n" in cell)
    broken_N = np.asarray(breaks.any(axis=1))
    if broken_N.any():
        raise _open_quote(skipped + int(broken_N.argmax()))


def _check_whole(
    file: Path, separator: str, names: Sequence[str], named: bool, frame: "pd.DataFrame"
) -> None:
    # A field that is not there is to pandas an empty one.
    wanted = max((place for place, name in enumerate(names, 1) if name), default=0)
    if not wanted:
        return
    missing_N = frame.iloc[:, wanted - 1].isna()  # few lines are counted: a table may be large
    with file.open(encoding="utf-8-sig") as opened:
        lines = zip(islice(opened, int(named), None), missing_N, strict=False)
        for row, (line, missing) in enumerate(lines):
            if missing and line.strip() and (count := _fields(line, separator)) < wanted:
                raise ValueError(
                    f"{row_in(named, row)} has {count} of {wanted} fields. Leave the place of a "
                    "missing value empty, between its separators"
                )


def row_in(named: bool, row: int) -> str:
    """Say which row of a table it is, and its line where a line of names stands above.

    Args:
        named: whether one does.
        row: its number from 0.
    """
    return f"row {row + 1} (line {row + 2})" if named else f"row {row + 1}"


def _open_quote(line: int) -> ValueError:
    return ValueError(
        f"the quote in line {line + 1} does not end there; close it, or write the text in one line"
    )


def _more_than(names: Sequence[str]) -> str:
    return f"has more fields than the {len(names)} of the first line; are there decimal commas?"


def _first_line(file: Path, labelled: bool) -> tuple[str, list[str], bool]:
    with file.open(encoding="utf-8-sig") as opened:
        lines = list(islice(opened, _JUDGED))
    separator = max(",;\t", key=partial(_agreement, lines))
    fields = next(csv.reader(lines[:1], delimiter=separator), [])
    if any("\n" in field for field in fields):
        raise _open_quote(0)
    words = [field.strip() for field in fields]
    if _holds_numbers_as_names(words, labelled) or _holds_names(words):
        return separator, words, True
    return separator, _places(len(words)), False


def _places(count: int) -> list[str]:
    return [str(place) for place in range(count)]


def _most_fields(file: Path, separator: str) -> int:
    # One that stands in quotes counts, too: a column too many is empty, and none of a sequence.
    with file.open(encoding="utf-8-sig") as opened:
        return 1 + max((line.count(separator) for line in opened), default=0)


def _agreement(lines: Sequence[str], separator: str) -> tuple[int, int]:
    """Count the lines that are of as many fields as most, if of several, and these fields."""
    fields = Counter(_fields(line, separator) for line in lines)
    return max(((count, number) for number, count in fields.items() if number > 1), default=(0, 0))


def _fields(line: str, separator: str) -> int:
    return len(next(csv.reader([line], delimiter=separator, skipinitialspace=True), []))


def _holds_numbers_as_names(words: Sequence[str], labelled: bool) -> bool:
    # What pandas writes above an array; without a class it can be no sequence.
    places = _places(len(words))
    if labelled and len(words) > 1 and words == places:
        raise ValueError(
            f"its first line is {', '.join(places)[:40]}. If these are names of the columns, write "
            "such as are no numbers; if they are a sequence, write a line of names above"
        )
    return len(words) > 1 and words == ["", *places[:-1]]


def _holds_names(words: Sequence[str]) -> bool:
    from pandas._libs.parsers import STR_NA_VALUES

    numbers = [_is_number(word) for word in words if word not in STR_NA_VALUES]
    if any(numbers) and not all(numbers):
        raise ValueError(
            f"its first line, '{','.join(words)[:80]}', holds names and numbers. If it names the "
            "columns, write names that are no numbers; else write a line of names above"
        )
    return bool(numbers) and not numbers[0]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return bool(WRITTEN_OTHERWISE.fullmatch(word))
    return True
