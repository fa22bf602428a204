"""Whether this machine has memory for what a config asks, before any of it is taken.

To fill memory takes minutes, and the system may end the process without a word.
"""

import math
import os
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch

from rnnexp.cells import Cell
from rnnexp.errors import ConfigError
from rnnexp.tasks import Task

_LARGE = 10_000
"""Of integers among options: with smaller ones all is made as fast as it could be counted."""
_FLOAT_BYTES = 4
_LAYER_BYTES = 10_000
"""Of a cell without any weights: the Python objects."""


def check_batch(values: Mapping[str, Any], task: Task) -> None:
    """Refuse a task whose batch does not fit.

    Args:
        values: the config.
        task: made of it.

    Raises:
        ConfigError: names the large options.
    """
    rows = task.length * task.batch_size
    _check(_large(values, "task"), "a batch", rows * max(1, task.input_size) * _FLOAT_BYTES)


def check_cell(values: Mapping[str, Any], make: Callable[[], Cell]) -> None:
    """Refuse a cell whose weights and their gradients do not fit.

    Args:
        values: the config.
        make: makes the cell.

    Raises:
        ConfigError: names the large options.
    """
    large = _large(values, "cell")
    if not large:
        return
    try:
        with torch.device("meta"):  # where tensors have shapes and no memory
            needed = _bytes_of(make())
    except Exception as error:  # of a cell that looks at its numbers: making it will tell
        if "overflow" not in str(error).lower():
            return
        needed = math.inf
    _check(large, "weights and gradients", needed)


def check_layers(values: Mapping[str, Any], cell: Cell) -> None:
    """Refuse so many layers that their weights do not fit.

    Args:
        values: the config.
        cell: of the first layer.

    Raises:
        ConfigError: says how much they would take.
    """
    layers = values["model"]["layers"]
    _check([f"model.layers={layers}"], "the cells", layers * max(_bytes_of(cell), _LAYER_BYTES))


def _bytes_of(cell: Cell) -> int:
    weights = chain(cell.parameters(), cell.buffers())
    return sum(w.numel() * w.element_size() * (2 if w.requires_grad else 1) for w in weights)


def _large(values: Mapping[str, Any], group: str) -> list[str]:
    options = values[group].items()
    return [f"{group}.{key}={v}" for key, v in options if isinstance(v, int) and v >= _LARGE]


def _check(asked: list[str], what: str, needed: float) -> None:
    has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if asked and needed > has:
        size = f"{needed / 1e9:.0f} GB" if math.isfinite(needed) else "more than torch can count"
        raise ConfigError(
            f"{', '.join(asked)}: {what} would take {size}, and this machine has {has / 1e9:.0f} "
            "GB of memory. Give less."
        )
