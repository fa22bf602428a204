"""What the methods of a task return, refused in words where a run could not use it."""

from collections.abc import Sequence
from numbers import Real
from typing import cast

import torch
from torch import Tensor

from rnnexp.errors import PluginError
from rnnexp.registry import REGISTRY

Pair = tuple[Tensor, Tensor]


def drawn_by(task: object, returned: object) -> Pair:
    """Take the inputs and the targets that ``generate`` returned.

    Raises:
        PluginError: it did not return two tensors.
    """
    if isinstance(returned, (tuple, list)) and [*map(_is_tensor, returned)] == [True, True]:
        return cast("Pair", tuple(returned))
    raise fault(task, "generate", "two tensors, the inputs and the targets", returned)


def check_tensors(task: object, batch: object, parts: Sequence[object]) -> None:
    """Refuse what ``batch`` returned where the inputs and the targets in it are no tensors.

    Raises:
        PluginError: names their types.
    """
    if not all(map(_is_tensor, parts)):
        raise fault(task, "batch", "a Batch of two tensors, the inputs and the targets", batch)


def judged(task: object, loss: object, outputs: Tensor) -> Tensor:
    """Take the loss of a batch.

    Args:
        task: whose it is.
        loss: what its ``loss`` returned.
        outputs: that were judged.

    Raises:
        PluginError: it is no tensor of one number, or has no gradient where the outputs have one.
    """
    if isinstance(loss, Tensor) and loss.numel() == 1:
        if loss.requires_grad or not outputs.requires_grad:
            return loss
        raise fault(
            task, "loss", "a tensor with a gradient", loss, ", detached or computed without torch"
        )
    raise fault(task, "loss", "a tensor of one number, a mean over rows", loss)


def figure(task: object, name: str, value: object, outputs: Tensor) -> Tensor:
    """Take one of the figures of ``metrics``, as a real number of its own.

    Args:
        task: whose it is.
        name: of the figure.
        value: what there is under the name.
        outputs: that were judged.

    Raises:
        PluginError: it is no single number.
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        return value if value.is_floating_point() else value.float()
    if isinstance(value, Real):
        return torch.tensor(float(value), device=outputs.device)
    raise fault(task, "metrics", f"one number as '{name}', such as a mean over rows", value)


def fault(task: object, method: str, wanted: str, got: object, more: str = "") -> PluginError:
    """Say what a method of a task should have returned.

    Args:
        task: whose it is.
        method: its name.
        wanted: what it must return, in words.
        got: what it returned.
        more: about that.
    """
    kind = type(task)
    name = next((e.name for e in REGISTRY.all("task") if e.cls is kind), kind.__name__)
    code = getattr(getattr(kind, method, None), "__code__", None)
    place = "" if code is None else f" Look at {code.co_filename}:{code.co_firstlineno}."
    return PluginError(
        f"The task '{name}': {method} must return {wanted}, got {_form(got)}{more}.{place} "
        f"More of it: rnnexp check {name}"
    )


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _form(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        parts = cast("Sequence[object]", value)
        return f"{len(parts)} values ({', '.join(type(part).__name__ for part in parts)})"
    return "None" if value is None else f"a value of type {type(value).__name__}"
