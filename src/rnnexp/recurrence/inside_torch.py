"""What torch knows and does not tell officially; each question has a safe answer without it."""

import operator
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.utils import parametrize

F = TypeVar("F", bound=Callable[..., Any])
_PLAIN = Tensor.__torch_dispatch__  # pyright: ignore[reportAttributeAccessIssue]
_WHY_NOT_COMPILED = "the fastest backend for its loop over time is chosen at each call"


def graph_is_kept() -> bool:
    """Tell whether the backward pass under way keeps its graph for another (retain_graph)."""
    ask = _find("_C._autograd._get_current_graph_task_keep_graph")
    return True if ask is None else ask()


def is_transformed() -> bool:
    """Tell whether a torch.func transform, such as vmap or grad, is under way."""
    ask = _find("_C._functorch.peek_interpreter_stack")
    return ask is not None and ask() is not None


def is_forward_mode() -> bool:
    """Tell whether derivatives may go along with what is computed (forward_ad.dual_level)."""
    return vars(forward_ad).get("_current_level", -1) >= 0


def are_batched(tensors: Iterable[Tensor | None]) -> bool:
    """Tell whether tensors stand for many each, as under vmap, or autograd's is_grads_batched."""
    ask = _find("_C._functorch.is_legacy_batchedtensor")
    return is_transformed() or (ask is not None and any(t is not None and ask(t) for t in tensors))


def what_traces(*tensors: Tensor) -> str | None:
    """Name what records or fakes operators now, and cannot look into what is none of torch's.

    Args:
        tensors: some that are computed with.
    """
    if torch.compiler.is_compiling():  # torch.export too
        return "torch.compile"
    if torch.jit.is_tracing():
        return "torch.jit.trace"
    if is_transformed():
        return "torch.func transforms"
    if is_forward_mode():
        return "forward-mode differentiation"
    for tensor in tensors:
        if not has_memory(tensor):
            return f"a {type(tensor).__name__}"
    count = _find("_C._len_torch_dispatch_stack")
    return None if count is not None and not count() else _mode_of_torch()


def has_memory(tensor: Tensor) -> bool:
    """Tell whether a tensor is one of numbers in memory, not a fake of one or made of others."""
    kind = type(tensor)
    return kind.__torch_dispatch__ is _PLAIN  # pyright: ignore[reportAttributeAccessIssue]


def _mode_of_torch() -> str | None:
    # Modes that torch keeps apart from those of users: of make_fx, and of fake tensors.
    mode_of, keys = _find("_C._get_dispatch_mode"), _find("_C._TorchDispatchModeKey.__members__")
    modes = map(mode_of, (keys or {}).values()) if mode_of is not None else ()
    return next((f"a {type(mode).__name__}" for mode in modes if mode is not None), None)


def saved_tensors_are_hooked() -> bool:
    """Tell whether hooks replace what is saved for backward passes, as those of checkpoint do."""
    ask = _find("_C._autograd._top_saved_tensors_default_hooks")
    return True if ask is None else ask(True) is not None


def current_stream(device: int) -> int:
    """Give the address of the stream on which torch works on a GPU now."""
    ask = _find("_C._cuda_getCurrentRawStream")  # a tenth of the time of making a Stream
    return torch.cuda.current_stream(device).cuda_stream if ask is None else ask(device)


@contextmanager
def parametrized_anew() -> Generator[None]:
    """Compute parametrized weights in the block, whatever `parametrize.cached` holds of them.

    What is held belongs to a graph of the user's, and what the block computes to none of them.
    """
    of_torch, name = parametrize.__dict__, "_cache_enabled"
    count = of_torch.get(name, 0)
    if not count:
        yield
        return
    of_torch[name] = 0
    try:
        yield
    finally:
        of_torch[name] += count


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
