"""Sequences with a class each from files, checked: what a task of classification is made of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from rnnexp.errors import ConfigError
from rnnexp.tasks.table import Values, read_rows

Array = np.ndarray[Any, np.dtype[Any]]
_NAMES = "x", "y"
_TESTED = "x_test", "y_test"


class Labelled(NamedTuple):
    """Sequences, those for the test last.

    Args:
        values_NTI: shape (N, T, I), in float64; a shorter sequence is NaN before it begins.
        classes_N: class numbers, shape (N,), of int64.
        names: of the classes, as the file has them.
        tested: how many are there for the test.
    """

    values_NTI: Values
    classes_N: np.ndarray[Any, np.dtype[np.int64]]
    names: tuple[str, ...]
    tested: int


def read_labelled(path: str, test_path: str | None = None) -> Labelled:
    """Read sequences and their classes.

    Args:
        path: a text with a sequence a line, its class first, or a .npz file with x of shape (N, T)
            or (N, T, I), and y of shape (N,); with x_test and y_test, if there are such.
        test_path: a text with those for the test; None where there is none.

    Raises:
        ConfigError: a file cannot be read, or holds something else.
    """
    if Path(path).suffix != ".npz":
        texts = [path] if test_path is None else [path, test_path]
        return _joined(path, [_of_text(text) for text in texts])
    if test_path is not None:
        raise ConfigError(f"task.test_path: {path} holds its own as x_test, y_test; leave it out.")
    return _joined(path, _of_arrays(path))


_Read = tuple[str, Values, Array]
"""Where sequences come from, their values and their classes."""


def _of_text(path: str) -> _Read:
    classes_N, values_NT = read_rows(path)
    return path, values_NT[..., None], classes_N


def _of_arrays(path: str) -> list[_Read]:
    arrays = _arrays(path)
    pairs = [_NAMES, _TESTED] if set(_TESTED) & arrays.keys() else [_NAMES]
    return [_checked(path, arrays, *pair) for pair in pairs]


def _arrays(path: str) -> Mapping[str, Array]:
    try:
        with Path(path).expanduser().open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            return {name: file[name] for name in (*_NAMES, *_TESTED) if name in file.files}
    except OSError as error:
        raise ConfigError(f"task.path={path}: cannot be read: {error.strerror}.") from error
    except (ValueError, BadZipFile) as error:
        raise ConfigError(f"task.path={path}: no arrays that can be read: {error}.") from error


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
    if classes_N.shape != values.shape[:1] or classes_N.dtype.kind not in "biuU":
        raise ConfigError(
            f"task.path={path}: {y} must hold a whole number or a text for each of the "
            f"{len(values)} sequences, got {classes_N.dtype} of shape {classes_N.shape}."
        )
    values_NTI = values if values.ndim == 3 else values[..., None]
    return f"{x} of {path}", values_NTI.astype(np.float64), classes_N


def _joined(path: str, parts: Sequence[_Read]) -> Labelled:
    shapes = [values_NTI.shape for _, values_NTI, _ in parts]
    if len({features for _, _, features in shapes}) > 1:
        raise ConfigError(f"task.path={path}: x and x_test have other features: {shapes}.")
    longest = max(steps for _, steps, _ in shapes)
    values_NTI = np.concatenate([_at_the_end(where, v, longest) for where, v, _ in parts])
    names, classes_N = np.unique(np.concatenate([c for _, _, c in parts]), return_inverse=True)
    tested = sum(rows for rows, _, _ in shapes[1:])
    return Labelled(values_NTI, classes_N.astype(np.int64), tuple(map(str, names)), tested)


def _at_the_end(source: str, values_NTI: Values, longest: int) -> Values:
    """Let all sequences end with step number ``longest``; NaN stands before the shorter ones."""
    rows, _, features = values_NTI.shape
    aligned_NTI = np.full((rows, longest, features), np.nan)
    for row, length in enumerate(_lengths(source, values_NTI).tolist()):
        aligned_NTI[row, longest - length :] = values_NTI[row, :length]
    return aligned_NTI


def _lengths(source: str, values_NTI: Values) -> Array:
    """Count the steps of each sequence up to the last that has a value."""
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
