"""What torch knows and does not tell officially; each question has a safe answer without it."""

import operator
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import torch

F = TypeVar("F", bound=Callable[..., Any])
_WHY_NOT_COMPILED = "the fastest backend for its loop over time is chosen at each call"


def graph_is_kept() -> bool:
    """Tell whether the backward pass under way keeps its graph for another (retain_graph)."""
    ask = _find("_C._autograd._get_current_graph_task_keep_graph")
    return True if ask is None else ask()


def is_transformed() -> bool:
    """Tell whether a torch.func transform, such as vmap or grad, is under way."""
    ask = _find("_C._functorch.peek_interpreter_stack")
    return ask is not None and ask() is not None


def saved_tensors_are_hooked() -> bool:
    """Tell whether hooks replace what is saved for backward passes, as those of checkpoint do."""
    ask = _find("_C._autograd._top_saved_tensors_default_hooks")
    return True if ask is None else ask(True) is not None


def current_stream(device: int) -> int:
    """Give the address of the stream on which torch works on a GPU now."""
    ask = _find("_C._cuda_getCurrentRawStream")  # a tenth of the time of making a Stream
    return torch.cuda.current_stream(device).cuda_stream if ask is None else ask(device)


def not_compiled(function: F) -> F:
    """Have torch.compile call a function as it stands, and all that the function calls.

    As torch.compiler.disable does, whose wrapper every call would pay for, and an import of seconds
    every program.
    """
    inside = "_C._dynamo.eval_frame."
    names = ("set_code_exec_strategy", "_FrameExecStrategy", "_FrameAction")
    set_strategy, strategy, action = (_find(inside + name) for name in names)
    if set_strategy is None or strategy is None or action is None:
        return cast("F", torch.compiler.disable(function, reason=_WHY_NOT_COMPILED))
    set_strategy(function.__code__, strategy(action.SKIP, action.SKIP))  # where it is called itself
    # Where its caller is compiled.
    vars(function).update(_torchdynamo_disable=True, _torchdynamo_disable_msg=_WHY_NOT_COMPILED)
    return function


@cache
def _find(name: str) -> Any:
    try:
        return operator.attrgetter(name)(torch)
    except AttributeError:
        return None
