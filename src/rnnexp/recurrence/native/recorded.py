"""One call of a recorded graph, in terms of expressions."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_arg

from rnnexp.recurrence.native.aten import Value, translate
from rnnexp.recurrence.native.grid import UnsupportedError


def translate_node(
    this: fx.Node, value_of: Callable[[fx.Node], Value], dtype: torch.dtype
) -> Value:
    """Translate one call of a recorded graph.

    Args:
        this: the call.
        value_of: gives what its arguments have become.
        dtype: in which the cell computes.

    Raises:
        UnsupportedError: as `translate` does; also where it computes in another type.
    """
    get: Any = value_of
    args: Any = map_arg(this.args, get)
    kwargs: Any = map_arg(this.kwargs, get)
    if this.target is operator.getitem:
        return args[0][args[1]]
    if kwargs.get("dtype", dtype) not in (dtype, None):
        raise UnsupportedError(f"its update converts to {kwargs['dtype']}.")
    name = str(this.target).rpartition(".")[0]
    return args[0] if name == "aten._to_copy" else translate(name, args, kwargs)
