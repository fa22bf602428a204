"""The native backend: the compiled time loops of a cell, where it can have them."""

import torch
from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell, has_own_step
from rnnexp.errors import ConfigError
from rnnexp.recurrence.check import NOT_EXAMINED, OWN_STEP, Remembered
from rnnexp.recurrence.inside_torch import has_memory, what_traces
from rnnexp.recurrence.native.attempt import made_or_reason
from rnnexp.recurrence.native.cuda import is_in_one_start, run_on_gpu
from rnnexp.recurrence.native.cuda import reason_against as reason_against_on_gpu
from rnnexp.recurrence.native.function import unroll_natively
from rnnexp.recurrence.native.kernel import Kernel, make_kernel
from rnnexp.recurrence.trace import Trace
from rnnexp.types import State


def run_native(
    cell: Cell, inputs_TBI: Tensor, state: State, trace: Trace | None = None
) -> tuple[Tensor, State]:
    """Run all time steps in compiled loops, forward and backward.

    Args:
        cell: one that `reason_against` has nothing against.
        inputs_TBI: shape (T, ..., B, I).
        state: S tensors of shape (..., B, H).
        trace: is filled with norms of gradients of each step by the backward pass.

    Returns:
        The outputs, shape (T, ..., B, H), and the last state.
    """
    assert isinstance(cell, PointwiseCell)
    _check_types(cell, inputs_TBI, state)
    if cell.weight_ih.device.type == "cuda":
        return run_on_gpu(cell, inputs_TBI, state, trace)
    kernel = _kernels.of(cell)
    assert isinstance(kernel, Kernel)
    return unroll_natively(kernel, cell, inputs_TBI, state, trace)


def _check_types(cell: PointwiseCell, inputs_TBI: Tensor, state: State) -> None:
    # The loops read memory as it was promised: everything is checked that the caller chose.
    dtype, device = cell.weight_ih.dtype, cell.weight_ih.device
    shape = (*inputs_TBI.shape[1:-1], cell.hidden_size)
    # Of what a cell projects in its own way, such as whole numbers, the loops get the product.
    own = type(cell).project_input is not PointwiseCell.project_input
    for name, tensor in (("inputs", inputs_TBI), *(("state", s) for s in state)):
        free = own and name == "inputs"
        if tensor.device != device or not (free or tensor.dtype == dtype):
            raise ConfigError(
                f"{name}: expected {dtype} on {device} like the weights of the cell, got "
                f"{tensor.dtype} on {tensor.device}; convert it or the cell."
            )
        if not has_memory(tensor):
            raise ConfigError(
                f"{name}: expected a plain tensor, got a {type(tensor).__name__}, which native "
                "loops cannot read; take backend=loop."
            )
    if len(state) != cell.num_states or any(s.shape != shape for s in state):
        raise ConfigError(
            f"state: expected {cell.num_states} tensors of shape {tuple(shape)}, got "
            f"{[tuple(s.shape) for s in state]}."
        )
    if inputs_TBI.shape[-1] != cell.input_size:
        raise ConfigError(f"inputs: expected {cell.input_size} features, got {inputs_TBI.shape}.")


def reason_against(cell: Cell) -> str | None:
    """Say why a cell cannot run natively here; None if it can."""
    if not isinstance(cell, PointwiseCell):
        return "only a PointwiseCell can be compiled; this one states its own step."
    if has_own_step(cell):
        return OWN_STEP
    if type(cell).project_recurrent is not PointwiseCell.project_recurrent:
        return "its recurrent product is its own (project_recurrent), which is not compiled."
    weight = cell.weight_ih
    if weight.device.type not in ("cpu", "cuda"):
        return f"its weights are on {weight.device}; native loops run on the CPU or on CUDA."
    if weight.dtype not in (torch.float32, torch.float64):
        return f"its weights are of type {weight.dtype}; native loops know float32 and float64."
    if weight.is_inference():
        return NOT_EXAMINED
    mode = _reason_against_mode(weight)
    if mode is not None or weight.device.type == "cuda":
        return mode or reason_against_on_gpu(cell)
    found = _kernels.of(cell)
    return found if isinstance(found, str) else None


def is_slower_than_vendor(cell: PointwiseCell) -> bool:
    """Tell whether torch's own recurrence is to be expected faster, where a cell has such a twin.

    On a GPU, native loops start anew for each step of a large cell: cuDNN is ahead of that.
    """
    weight = cell.weight_ih
    if not weight.is_cuda:
        return False
    shape = cell.hidden_size, cell.num_gates  # every gate of a twin has an R
    return not is_in_one_start(*shape, weight.dtype, weight.get_device())


def _reason_against_mode(weight: Tensor) -> str | None:
    if torch.is_autocast_enabled(weight.device.type):
        return "autocast is on, and native loops compute in the type of the weights."
    tracing = what_traces(weight)
    return None if tracing is None else f"{tracing} cannot look into a native loop."


def _made(cell: PointwiseCell) -> Kernel | str:
    return made_or_reason(cell, make_kernel, unroll_natively)


_kernels = Remembered(_made, lasting=lambda found: isinstance(found, Kernel))
"""The kernel of a cell; the reason in words where there can be none."""
