"""Make one object of what the config names and try it, before anything is trained."""

import inspect
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from rnnexp.app.config.targets import maker
from rnnexp.cells import Cell
from rnnexp.discovery import place_of
from rnnexp.errors import ConfigError, PluginError, RnnexpError, describe
from rnnexp.options import arguments_of
from rnnexp.recurrence import choose_backend
from rnnexp.recurrence.shapes import check_recurrent_weight, check_step
from rnnexp.registry import REGISTRY, Kind
from rnnexp.tasks import Task
from rnnexp.training.precision import precision_of


def made(kind: Kind, name: str, *arguments: Any, options: Mapping[str, Any]) -> Any:
    """Make an object of a plugin's class.

    Raises:
        PluginError: the class lacks a method that its kind must have, or its constructor fails.
    """
    entry = REGISTRY.get(kind, name)
    missing = sorted(getattr(entry.cls, "__abstractmethods__", ()))
    if inspect.isabstract(entry.cls):
        raise PluginError(
            f"The {kind} '{name}' lacks {', '.join(missing)}: write it in {entry.place}."
        )
    with blaming(kind, name, "cannot be made"):
        return entry.cls(*arguments, **arguments_of(entry.options, options))


@contextmanager
def blaming(kind: Kind, name: str, what: str) -> Generator[None]:
    """Say of what a plugin raises in the block, sys.exit too, whose it is and where.

    Args:
        kind: of the plugin.
        name: of the plugin.
        what: fails in the block, such as ``cannot be made``.

    Raises:
        PluginError: names the plugin, the exception and the line.
    """
    try:
        yield
    except RnnexpError:
        raise
    except (Exception, SystemExit) as error:  # whatever a plugin raises
        entry = REGISTRY.get(kind, name)
        raise PluginError(
            f"The {kind} '{name}' {what}. {describe(error)}. "
            f"Look at {place_of(error, {str(entry.file)}) or entry.place}. "
            f"More of it: rnnexp check {name}"
        ) from error


def try_task(name: str, task: Task) -> None:
    """Ask a task for the sizes that every run asks it for.

    Args:
        name: of the task, as the config names it.
        task: made for the occasion.

    Raises:
        PluginError: it lacks one, or fails to say it.
    """
    for size in ("length", "input_size", "output_size"):
        with blaming("task", name, f"does not say its {size}"):
            getattr(task, size)


def try_step(name: str, cell: Cell) -> None:
    """Run one step on two rows of zeros.

    Args:
        name: of the cell, as the config names it.
        cell: made for the occasion.

    Raises:
        PluginError: the step fails, or returns other shapes than it must.
    """
    with blaming("cell", name, "fails at its first step"), torch.no_grad():
        like = next(cell.parameters(), torch.zeros(())).real  # inputs are, whatever the weights
        check_recurrent_weight(cell)
        state = cell.initial_state((2,))
        out_BH, new = cell.step(like.new_zeros(2, cell.input_size), state)
        check_step(cell, state, out_BH, new)


def check_precision(name: str, cell: Cell, precision: str) -> None:
    """Refuse weights of a type in which a cell cannot work.

    Args:
        name: of the cell, as the config names it.
        cell: made for the occasion.
        precision: ``trainer.precision``.

    Raises:
        ConfigError: says why.
    """
    if precision != "bf16-true":
        return
    reason = None
    if cell.clock_states:
        reason = "counts steps, and bfloat16 counts to 256 at most"
    elif getattr(cell, "complex_state", False):
        reason = "has a complex state, and torch knows no complex numbers of bfloat16"
    if reason is not None:
        raise ConfigError(
            f"trainer.precision=bf16-true: the cell '{name}' {reason}. Use bf16-mixed or 32-true."
        )


def try_backend(cell: Cell, wanted: str, trainer: Mapping[str, Any]) -> None:
    """Ask whether a backend can run a cell, in the type of numbers that it is to be trained in.

    Args:
        cell: made for the occasion; may be of another type afterwards.
        wanted: ``unroll.backend``.
        trainer: the config's node.

    Raises:
        ConfigError: it cannot; says why.
    """
    # Training comes last: it is how a cell is made. What is found out here of the cell, the run
    # need not find out again; nor need a job of a sweep, whose process is a copy of this one.
    for training in (False, True):
        choose_backend(cell.train(training), wanted)
    precision = trainer["precision"]
    # Of a GPU's autocast that of the CPU, where the cell is now, tells nothing.
    if wanted == "auto" or trainer["accelerator"] != "cpu" or precision == "32-true":
        return
    try:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision.endswith("mixed")):
            choose_backend(precision_of(precision).convert_module(cell), wanted)
    except ConfigError as error:
        raise ConfigError(
            f"{error} That comes of trainer.precision={precision}; use unroll.backend=auto with it."
        ) from error


def try_optimizer(optimizer: Mapping[str, Any], scheduler: Mapping[str, Any]) -> None:
    """Make an optimizer over one number, and its schedule.

    Args:
        optimizer: the config's node.
        scheduler: likewise.

    Raises:
        ConfigError: the class is not allowed or unknown, or torch refuses a value.
    """
    makers = maker(optimizer, "optimizer"), maker(scheduler, "scheduler")
    if makers[0] is None:
        raise ConfigError("optimizer._target_: one is needed, such as torch.optim.Adam.")
    made_of: Any = [nn.Parameter(torch.zeros(1, 1))]  # a matrix: Muon takes nothing else
    for make, key in zip(makers, ("optimizer", "scheduler"), strict=True):
        if make is not None:
            made_of = _refusing(make, made_of, key)


def _refusing(make: partial[Any], made_of: Any, key: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = make(made_of)
            if key == "scheduler":
                found.step()  # some look at their numbers only here
            return found
    except Exception as error:  # whatever torch says of a value
        given = ", ".join(f"{key}.{name}={value}" for name, value in make.keywords.items())
        name = getattr(make.func, "__name__", "")
        if name == "ReduceLROnPlateau":
            raise ConfigError(
                f"{key}: {name} waits for a figure, and schedules here count steps. Use "
                "scheduler=cosine, step or warmup, or trainer.early_stop_after."
            ) from error
        raise ConfigError(f"{key}: torch's {name} refuses {given or 'this'}. {error}") from error
