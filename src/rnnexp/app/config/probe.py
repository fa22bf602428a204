"""Make one object of what the config names and try it, before anything is trained."""

import inspect
import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rnnexp.app.config.schedule import fault_of_schedule
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
from rnnexp.types import State

Kinds = frozenset[tuple[int, torch.dtype]]
"""Of parameters: the number of axes and the type of each."""


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


def try_step(name: str, cell: Cell, input_size: int) -> None:
    """Run one step on two rows of zeros, of whole ones where others fail.

    Args:
        name: of the cell, as the config names it.
        cell: made for the occasion.
        input_size: that it was made for.

    Raises:
        PluginError: the cell reads another number of inputs; the step fails, or returns other
            shapes than it must.
    """
    with blaming("cell", name, "fails at its first step"), torch.no_grad():
        _check_input_size(name, cell, input_size)
        like = next(cell.parameters(), torch.zeros(())).real  # inputs are, whatever the weights
        check_recurrent_weight(cell)
        state = cell.initial_state((2,))
        out_BH, new = _first_step(cell, like.new_zeros(2, input_size), state)
        check_step(cell, state, out_BH, new)


def _check_input_size(name: str, cell: Cell, input_size: int) -> None:
    if cell.input_size != input_size:
        raise PluginError(
            f"The cell '{name}' was made for {input_size} inputs, and its input_size is "
            f"{cell.input_size}. Where W reads what project_input makes of the inputs, set "
            f"self.input_size = input_size after super().__init__(...). More of it: rnnexp check "
            f"{name}"
        )


def _first_step(cell: Cell, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
    try:
        return cell.step(x_BI, state)
    except Exception:
        with suppress(Exception):  # what looks its inputs up takes whole numbers
            return cell.step(x_BI.long(), state)
        raise


def try_cell(values: Mapping[str, Any], cell: Cell) -> None:
    """Ask whether a cell can be run by the backend and in the precision of a config.

    Args:
        values: the config.
        cell: made for the occasion; may be of another type afterwards.

    Raises:
        ConfigError: it cannot; says why.
    """
    _check_precision(values["cell"]["name"], cell, values["trainer"]["precision"])
    _try_backend(cell, values["unroll"]["backend"], values["trainer"])


def _check_precision(name: str, cell: Cell, precision: str) -> None:
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


def _try_backend(cell: Cell, wanted: str, trainer: Mapping[str, Any]) -> None:
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
            precision_of(precision).convert_module(cell)
            choose_backend(cell, wanted)
    except ConfigError as error:
        raise ConfigError(
            f"{error} That comes of trainer.precision={precision}; use unroll.backend=auto with it."
        ) from error


def kinds_of(*modules: nn.Module) -> Kinds:
    """List the kinds of parameters that are trained in some modules."""
    parameters = (p for module in modules for p in module.parameters())
    return frozenset((p.dim(), p.dtype) for p in parameters if p.requires_grad)


def try_optimizer(
    optimizer: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    trained: Kinds,
    max_steps: int,
    *,
    steps: bool,
) -> None:
    """Make an optimizer over one number of each kind of parameter, and its schedule; try both.

    Args:
        optimizer: the config's node.
        scheduler: likewise.
        trained: the kinds of parameters.
        max_steps: how far the schedule is to reach.
        steps: whether a step on this CPU tells what one in training will do.

    Raises:
        ConfigError: the class is not allowed or unknown, torch refuses a value, the parameters
            or the step, or the schedule sets a learning rate that is none.
    """
    make, schedule = maker(optimizer, "optimizer"), maker(scheduler, "scheduler")
    if make is None:
        raise ConfigError("optimizer._target_: one is needed, such as torch.optim.Adam.")
    stand_ins = [nn.Parameter(torch.zeros((1,) * axes, dtype=dtype)) for axes, dtype in trained]
    with _refusing(make, "optimizer"):
        made_of = make(stand_ins)
        if steps:
            _step(made_of, stand_ins)
    if schedule is not None:
        _try_schedule(schedule, made_of, max_steps)


_TRIED: set[str] = set()
"""Schedules that passed: most jobs of a sweep have the same one, and a trial takes 10 ms."""


def _try_schedule(make: partial[Any], optimizer: Optimizer, max_steps: int) -> None:
    key = repr([make.func, make.keywords, optimizer.defaults, max_steps])
    if key in _TRIED:
        return
    with _refusing(make, "scheduler"):
        fault = fault_of_schedule(make(optimizer), max_steps)
    if fault is not None:
        raise ConfigError(
            f"scheduler: {_name(make)} with {_given(make, 'scheduler')} {fault}. It must stay "
            "finite and 0 or more: change these, or trainer.max_steps."
        )
    _TRIED.add(key)


def _step(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


_NOT_TAKEN = {
    "ReduceLROnPlateau": "waits for a figure, and schedules here count steps. Use "
    "scheduler=cosine, step or warmup, or trainer.early_stop_after.",
    "LBFGS": "computes the loss several times in a step, of which the record of a run knows one. "
    "Use optimizer=adam, sgd or rmsprop.",
}


@contextmanager
def _refusing(make: partial[Any], key: str) -> Generator[None]:
    name = _name(make)
    if name in _NOT_TAKEN:
        raise ConfigError(f"{key}: {name} {_NOT_TAKEN[name]}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # whatever torch says of a value
        given = _given(make, key) or "this"
        raise ConfigError(f"{key}: torch's {name} refuses {given}. {error}") from error


def _name(make: partial[Any]) -> str:
    return getattr(make.func, "__name__", "")


def _given(make: partial[Any], key: str) -> str:
    return ", ".join(f"{key}.{name}={value}" for name, value in make.keywords.items())
