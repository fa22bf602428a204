"""Sequences with a class each from files, checked: what a task of classification is made of."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnexp.errors import ConfigError
from rnnexp.tasks.files import reading
from rnnexp.tasks.table import Array, Values, read_rows

_NAMES = "x", "y"
_TESTED = "x_test", "y_test"
_NUMBER = re.compile(r"[-+]?(\d{1,99}(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)


class Labelled(NamedTuple):
    """Sequences, those for the test last.

    Args:
        values_NTI: shape (N, T, I), of the file's own type: what is read may be large. A shorter
            sequence is NaN before it begins.
        classes_N: class numbers, shape (N,), of int64.
        names: of the classes, as the file has them.
        tested: how many are there for the test.
    """

    values_NTI: Array
    classes_N: np.ndarray[Any, np.dtype[np.int64]]
    names: tuple[str, ...]
    tested: int


def read_labelled(path: str, test_path: str | None = None) -> Labelled:
    """Read sequences and their classes.

    Classes are compared as numbers where all of them are, in all files, else as texts.

    Args:
        path: a text with a sequence a line, its class first, or a .npz file with x of shape (N, T)
            or (N, T, I), and y of shape (N,); with x_test and y_test, if there are such.
        test_path: a text with those for the test; None where there is none.

    Raises:
        ConfigError: a file cannot be read, or holds something else.
    """
    if Path(path).suffix != ".npz":
        return _joined(path, _of_texts(path, test_path))
    if test_path is not None:
        raise ConfigError(f"task.test_path: {path} holds its own as x_test, y_test; leave it out.")
    return _joined(path, _of_arrays(path))


_Read = tuple[str, Array, list[str]]
"""Where sequences come from, their values and their classes."""


def _of_texts(path: str, test_path: str | None) -> list[_Read]:
    trained = read_rows("task.path", path)
    tables = {f"task.path={path}": trained}
    if test_path is not None:
        tested = read_rows("task.test_path", test_path)
        _check_order(test_path, trained.names, tested.names)
        tables[f"task.test_path={test_path}"] = tested
    return [(where, table.values_NC[..., None], table.classes) for where, table in tables.items()]


def ended_together(sequences: Sequence[ArrayLike], steps: int, features: int) -> Values:
    """Let sequences end together, as those of a file do.

    Args:
        sequences: N of them, each of shape (T,) or (T, I), and T at most ``steps``.
        steps: T of all.
        features: I.

    Returns:
        Shape (N, T, I); NaN before a shorter one begins.

    Raises:
        ConfigError: one has another shape, no step or too many, or a value that is not finite.
    """
    ended_NTI = np.full((len(sequences), steps, features), np.nan)
    for row, sequence in enumerate(sequences):
        values_TI = np.asarray(sequence, np.float64)
        values_TI = values_TI[:, None] if values_TI.ndim == 1 else values_TI
        length = len(values_TI) if values_TI.ndim else 0
        if values_TI.shape != (length, features) or not 0 < length <= steps:
            raise ConfigError(
                f"sequence {row + 1}: must be of 1 to {steps} steps with {features} values each, "
                f"as in training, got an array of shape {np.shape(sequence)}."
            )
        if not np.isfinite(values_TI).all():
            raise ConfigError(f"sequence {row + 1}: holds a value that is not finite.")
        ended_NTI[row, steps - length :] = values_TI
    return ended_NTI


def _check_order(test_path: str, names: tuple[str, ...], others: tuple[str, ...]) -> None:
    for first in (0, 1):  # the column of the classes may have another name
        trained, tested = names[first:], others[first:]
        if trained != tested and sorted(trained) == sorted(tested):
            raise ConfigError(
                f"task.test_path={test_path}: has the columns of task.path in another order. Write "
                "them in the same."
            )


def _of_arrays(path: str) -> list[_Read]:
    with reading("task.path", path, "arrays") as file:
        arrays = _arrays(file)
    pairs = [_NAMES, _TESTED] if set(_TESTED) & arrays.keys() else [_NAMES]
    return [_checked(path, arrays, *pair) for pair in pairs]


def _arrays(path: Path) -> Mapping[str, Array]:
    with path.open("rb") as opened:
        file = np.load(opened, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it holds one array without a name; x and y are needed")
        arrays = {name: file[name] for name in (*_NAMES, *_TESTED) if name in file.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"'{name}' in it is no array")
    return arrays


def _checked(path: str, arrays: Mapping[str, Array], x: str, y: str) -> _Read:
    for name in (x, y):
        if name not in arrays:
            raise ConfigError(f"task.path={path}: has no array '{name}'; {x} and {y} are needed.")
    values, classes_N = arrays[x], arrays[y]
    if values.dtype.kind not in "biuf" or values.ndim not in (2, 3) or 0 in values.shape:
        raise ConfigError(
            f"task.path={path}: {x} must hold numbers, of shape (N, T) or (N, T, I), got "
            f"{values.dtype} of shape {values.shape}."
        )
    if classes_N.ndim != 1 or classes_N.dtype.kind not in "biufU":
        raise ConfigError(
            f"task.path={path}: {y} must hold a whole number or a text for each sequence, got "
            f"{classes_N.dtype} of shape {classes_N.shape}."
        )
    if len(classes_N) != len(values):
        raise ConfigError(
            f"task.path={path}: {y} has {len(classes_N)} classes for the {len(values)} sequences "
            f"of {x}."
        )
    _check_whole(path, y, classes_N)
    values_NTI = values if values.ndim == 3 else values[..., None]
    return f"{x} of {path}", values_NTI, _texts(classes_N)


def _check_whole(path: str, y: str, classes_N: Array) -> None:
    if classes_N.dtype.kind != "f":
        return
    broken_N = ~np.isfinite(classes_N) | (classes_N != np.rint(classes_N))
    if broken_N.any():
        row = int(broken_N.argmax())
        raise ConfigError(
            f"task.path={path}: {y} has {classes_N[row]} for sequence {row + 1}; a class is a "
            "whole number or a text."
        )


def _texts(classes_N: Array) -> list[str]:
    values = classes_N.astype(int) if classes_N.dtype.kind == "b" else classes_N
    return [str(value).strip() for value in values.tolist()]


def _joined(path: str, parts: Sequence[_Read]) -> Labelled:
    shapes = [values_NTI.shape for _, values_NTI, _ in parts]
    if len({features for _, _, features in shapes}) > 1:
        raise ConfigError(f"task.path={path}: x and x_test have other features: {shapes}.")
    lengths = [_lengths(where, values_NTI) for where, values_NTI, _ in parts]
    longest = max(int(lengths_N.max()) for lengths_N in lengths)
    aligned = [_at_the_end(p[1], n, longest) for p, n in zip(parts, lengths, strict=True)]
    names, classes_N = _numbered([name for where, _, texts in parts for name in _all(where, texts)])
    tested = sum(rows for rows, _, _ in shapes[1:])
    whole_NTI = np.concatenate(aligned) if tested else aligned[0]
    return Labelled(whole_NTI, classes_N, names, tested)


def _all(source: str, texts: list[str]) -> list[str]:
    if "" in texts:
        raise ConfigError(f"{source}: sequence {texts.index('') + 1} has no class.")
    return texts


def _numbered(texts: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray[Any, np.dtype[np.int64]]]:
    """Number the classes in their order, as numbers where all are, else as texts."""
    numbers = {text: _number(text) for text in set(texts)}
    known = numbers if None not in numbers.values() else {text: text for text in numbers}
    ordered = sorted(set(known.values()))  # type: ignore[type-var]
    places = {value: place for place, value in enumerate(ordered)}
    classes_N = np.array([places[known[text]] for text in texts], np.int64)
    return tuple(map(str, ordered)), classes_N


def _number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    if text.lstrip("+-").isdigit():
        return int(text)  # exact beyond 2^53, too
    value = float(text)  # the UCR archive has 1.0000e+00
    return int(value) if abs(value) < 2**53 and value.is_integer() else value


def _at_the_end(values_NTI: Array, lengths_N: Array, longest: int) -> Array:
    """Let all sequences end with step number ``longest``; NaN stands before the shorter ones."""
    rows, _, features = values_NTI.shape
    if (lengths_N == longest).all():
        return values_NTI[:, :longest]
    dtype = np.result_type(values_NTI, np.float32)  # one that has NaN
    aligned_NTI = np.full((rows, longest, features), np.nan, dtype)
    for row, length in enumerate(lengths_N.tolist()):
        aligned_NTI[row, longest - length :] = values_NTI[row, :length]
    return aligned_NTI


def _lengths(source: str, values_NTI: Array) -> Array:
    """Count the steps of each sequence up to the last that has a value."""
    if values_NTI.dtype.kind != "f":  # of whole numbers none can be missing
        return np.full(len(values_NTI), values_NTI.shape[1])
    steps_T = np.arange(1, values_NTI.shape[1] + 1)
    lengths_N = (~np.isnan(values_NTI).all(axis=2) * steps_T).max(axis=1)
    there_NT = steps_T <= np.maximum(lengths_N, 1)[:, None]
    bad_NT = there_NT & ~np.isfinite(values_NTI).all(axis=2)
    if bad_NT.any():
        sequence = int(bad_NT.any(axis=1).argmax())
        raise ConfigError(
            f"{source}: sequence {sequence + 1} has no finite value at step "
            f"{int(bad_NT[sequence].argmax()) + 1}. Values may be missing at its end alone, where "
            "it is shorter than others."
        )
    return lengths_N
