"""The optimizer of a run, in the fastest of torch's ways to make a step."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

Make = Callable[..., Optimizer]
"""Makes an optimizer over parameters, with more options by name."""
_WAYS = {"fused", "foreach", "differentiable", "capturable"}
_DEVICES = ("cpu", "cuda")


def make_optimizer(make: Make, parameters: Iterable[nn.Parameter], *, mixed: bool) -> Optimizer:
    """Make an optimizer; where torch has its step as one pass over each parameter, it takes that.

    The step of a small network is mostly calls: fused, that of Adam takes a third of the time. The
    result differs by rounding.

    Args:
        make: a class with its options, from a config.
        parameters: those that are trained.
        mixed: whether precision is mixed. Gradients may then come multiplied by a scale, by which a
            fused step divides them itself: Lightning refuses to clip before it.
    """
    trained = list(parameters)
    fused = not mixed and _has_fused_step(make) and all(map(_suits, trained))
    return make(trained, fused=True) if fused else make(trained)


def _has_fused_step(make: Make) -> bool:
    # Who names a way of making the step gets that one.
    cls: Any = make.func if isinstance(make, partial) else make
    named: set[str] = set(make.keywords) if isinstance(make, partial) else set()
    return "fused" in inspect.signature(cls).parameters and not named & _WAYS


def _suits(parameter: nn.Parameter) -> bool:
    return parameter.is_floating_point() and parameter.device.type in _DEVICES
