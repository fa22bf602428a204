"""Run a cell over time: the same parameters at every step, by the fastest valid backend."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available

from rnnexp.cells import Cell, PointwiseCell
from rnnexp.errors import ConfigError, check_choice
from rnnexp.recurrence.backends import BACKENDS, BackendName, fastest, reason_against
from rnnexp.recurrence.finite import check_state, check_steps
from rnnexp.recurrence.inside_torch import saved_tensors_are_hooked
from rnnexp.recurrence.lengths import blank, checked_lengths
from rnnexp.recurrence.segments import run_segments
from rnnexp.recurrence.trace import Shown, Trace
from rnnexp.types import State


@dataclass(frozen=True)
class Unrolled:
    """What running a cell over T steps gives.

    Args:
        outputs_TBH: the output of each step.
        state: the state after the last step.
        backend: the name of the backend that ran.
    """

    outputs_TBH: Tensor
    state: State
    backend: BackendName


def unroll(
    cell: Cell,
    inputs_TBI: Tensor,
    state: State | None = None,
    *,
    backend: str = "auto",
    trace: Trace | None = None,
    checkpoint_every: int | None = None,
    lengths_B: Tensor | None = None,
    check_finite: bool = False,
    steps_before: int = 0,
) -> Unrolled:
    """Apply a cell to each time step of a sequence, carrying its state.

        out_t, state_t = cell.step(x_t, state_{t-1})        t = 1..T

    Args:
        cell: any cell.
        inputs_TBI: the sequence, shape (T, ..., B, I), T at least 1.
        state: where to start; the cell's initial state if not given.
        backend: ``auto`` takes the fastest that is valid for this cell.
        trace: is filled with norms of gradients of each step by the backward pass.
        checkpoint_every: keep the state of every so many steps, and compute what lies between
            again in the backward pass; the square root of T needs the least memory.
        lengths_B: the steps of each row, shape (..., B): what lies beyond changes neither state
            nor gradient, its outputs are zero, and the state returned is that after each row's
            own last step.
        check_finite: look for NaN and infinity in what goes in and comes out.
        steps_before: what comes before these steps in the sequence, for the words of its error.

    Raises:
        ConfigError: the backend asked for cannot run this cell; the input, the state or the lengths
            have the wrong shape or impossible values; the native backend: another type than the
            weights of the cell; hooks of its call make the weights.
        NonFiniteError: ``check_finite`` has found some; says in which tensor, at which step.
    """
    _check_hooks(cell)
    _check_inputs(cell, inputs_TBI)
    _check_every(checkpoint_every)
    if lengths_B is not None:
        lengths_B = checked_lengths(lengths_B, inputs_TBI)
    if state is None:
        state = cell.initial_state(inputs_TBI.shape[1:-1])
    else:
        _check_state(cell, state, inputs_TBI)
    name = choose_backend(cell, backend, trace.needs if trace is not None else "nothing")
    if check_finite:
        check_steps("inputs", blank(inputs_TBI, lengths_B), steps_before)
        check_state(state, f"before time step {steps_before}")
    if trace is not None:
        trace.note_inputs(inputs_TBI, state)
    outputs_TBH, last = run_segments(
        BACKENDS[name].run, cell, inputs_TBI, state, trace, checkpoint_every, lengths_B
    )
    outputs_TBH, last = _as_given_out(cell, outputs_TBH, last)
    if check_finite:
        check_steps("outputs", outputs_TBH, steps_before)
        check_state(last, f"after time step {steps_before + len(inputs_TBI) - 1}")
    return Unrolled(outputs_TBH, last, name)


def choose_backend(cell: Cell, wanted: str = "auto", needed: Shown = "nothing") -> BackendName:
    """Name the backend that runs a cell, and shows as much of dL/dh_t as is needed.

    Raises:
        ConfigError: the backend asked for cannot run it; says why.
    """
    if wanted == "auto":
        return fastest(cell, needed)
    check_choice("unroll.backend", wanted, ["auto", *BACKENDS])
    reason = reason_against(wanted, cell, needed)
    if reason is not None:
        raise ConfigError(f"unroll.backend={wanted} cannot run {type(cell).__name__}: {reason}")
    return wanted


def _as_given_out(cell: Cell, outputs_TBH: Tensor, last: State) -> tuple[Tensor, State]:
    """Give all that autocast has left in its own type, whose it is by one backend or another, in
    that of the weights; and outputs that may be changed in place."""
    device = outputs_TBH.device.type
    lowers = is_autocast_available(device) and torch.is_autocast_enabled(device)
    weight = next(cell.parameters(), None) if lowers else None
    if weight is not None:
        low, dtype = torch.get_autocast_dtype(device), weight.real.dtype
        outputs_TBH, *rest = (t.to(dtype) if t.dtype == low else t for t in (outputs_TBH, *last))
        last = tuple(rest)
    # Autograd does not see a change of what hooks have taken to save it.
    if not torch.compiler.is_compiling() and saved_tensors_are_hooked():
        outputs_TBH = outputs_TBH.clone()
    return outputs_TBH, last


def _check_hooks(cell: Cell) -> None:
    for hook in cell._forward_pre_hooks.values():  # pyright: ignore[reportPrivateUsage]
        kind = type(hook).__module__
        if kind.startswith("torch.nn.utils."):
            raise ConfigError(
                f"{type(cell).__name__}: {kind} makes its weights anew where cell(...) is called, "
                "which it never is over time: they would stay as they are. Use "
                "torch.nn.utils.parametrizations, or for prune its prune.remove."
            )


def _check_inputs(cell: Cell, inputs_TBI: Tensor) -> None:
    shape = tuple(inputs_TBI.shape)
    if len(shape) < 2 or shape[0] < 1 or shape[-1] != cell.input_size:
        raise ConfigError(
            f"inputs: expected shape (T, ..., B, {cell.input_size}) with T >= 1, got {shape}."
        )


def _check_state(cell: Cell, state: State, inputs_TBI: Tensor) -> None:
    # Broadcasting would let a state of one row pass, and compute something else by each backend.
    batch = inputs_TBI.shape[1:-1]
    count = getattr(cell, "num_states", len(state))
    own = (cell.hidden_size,) if isinstance(cell, PointwiseCell) else ()
    known = (*batch, *own)
    if len(state) == count and all(s.shape[: len(known)] == known for s in state):
        return
    wanted = known if own else (*batch, "...")
    raise ConfigError(
        f"state: expected {count} tensors of shape {wanted} for {type(cell).__name__}, got "
        f"{[tuple(s.shape) for s in state]}."
    )


def _check_every(checkpoint_every: int | None) -> None:
    if checkpoint_every is not None and checkpoint_every < 1:
        raise ConfigError(f"checkpoint_every: must be at least 1, got {checkpoint_every}.")
