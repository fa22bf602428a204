"""Make one object of a plugin and run it once, before anything is trained."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from rnnexp.cells import Cell
from rnnexp.errors import PluginError, RnnexpError
from rnnexp.recurrence.shapes import check_step
from rnnexp.registry import REGISTRY, Kind


def made(kind: Kind, name: str, *arguments: Any, options: Mapping[str, Any]) -> Any:
    """Make an object of a plugin's class.

    Raises:
        PluginError: the class lacks a method that its kind must have.
    """
    entry = REGISTRY.get(kind, name)
    missing = sorted(getattr(entry.cls, "__abstractmethods__", ()))
    if inspect.isabstract(entry.cls):
        raise PluginError(
            f"The {kind} '{name}' lacks {', '.join(missing)}: write it in {entry.place}."
        )
    return entry.cls(*arguments, **options)


def try_step(name: str, cell: Cell) -> None:
    """Run one step on two rows of zeros.

    Args:
        name: of the cell, as the config names it.
        cell: made for the occasion.

    Raises:
        PluginError: the step fails, or returns other shapes than it must.
    """
    like = next(cell.parameters(), torch.zeros(()))
    try:
        with torch.no_grad():
            state = cell.initial_state((2,))
            out_BH, new = cell.step(like.new_zeros(2, cell.input_size), state)
            check_step(cell, state, out_BH, new)
    except RnnexpError:
        raise
    except Exception as error:  # whatever a plugin raises
        raise PluginError(
            f"The cell '{name}' fails at its first step. {type(error).__name__}: {error}. "
            f"More of it: rnnexp check {name}"
        ) from error
