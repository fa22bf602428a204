"""The torch operators that an update may use, in terms of expressions."""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from rnnexp.recurrence.native import ir
from rnnexp.recurrence.native.grid import Grid, UnsupportedError, elementwise, join
from rnnexp.recurrence.native.ir import ONE, ZERO, Node, constant, node

Value = Grid | list[Grid]


def translate(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Value:
    """Apply one torch operator.

    Args:
        name: such as ``aten.tanh``, without the overload.
        args: grids, numbers, and lists of grids.
        kwargs: the same by name.

    Raises:
        UnsupportedError: the operator is unknown, or used in a way that is not elementwise.
    """
    if name not in _VIEWS and name not in _POINTWISE:
        raise UnsupportedError(f"its update uses the operator {name}, which has no translation.")
    try:
        return _VIEWS[name](*args, **kwargs) if name in _VIEWS else _pointwise(name, args, kwargs)
    except TypeError as error:  # an overload with other arguments than those known here
        raise UnsupportedError(
            f"its update uses {name} in a way that has no translation ({error})."
        ) from error


def _pointwise(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Grid:
    function = _POINTWISE[name]
    tensors = [i for i, arg in enumerate(args) if isinstance(arg, Grid)]
    grids = [args[i] for i in tensors]

    def on_nodes(*nodes: Node) -> Node:
        filled = list(args)
        for i, n in zip(tensors, nodes, strict=True):
            filled[i] = n
        return function(*filled, **_known(name, kwargs))

    return elementwise(on_nodes, *grids)


def _known(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    known = {"alpha", "value", "approximate", "rounding_mode"}
    given = {key: value for key, value in kwargs.items() if key not in _ABOUT_STORAGE}
    if not given.keys() <= known or given.get("rounding_mode") is not None:
        raise UnsupportedError(f"its update uses {name} with {given}, which has no translation.")
    given.pop("rounding_mode", None)
    return given


_ABOUT_STORAGE = ("dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking")
Operand = Node | float


def _n(x: Operand) -> Node:
    return x if isinstance(x, Node) else constant(x)


def _add(a: Operand, b: Operand, alpha: float = 1) -> Node:
    return ir.add(_n(a), ir.mul(constant(alpha), _n(b)))


def _sub(a: Operand, b: Operand, alpha: float = 1) -> Node:
    return ir.sub(_n(a), ir.mul(constant(alpha), _n(b)))


def _mul(a: Operand, b: Operand) -> Node:
    return ir.mul(_n(a), _n(b))


def _div(a: Operand, b: Operand) -> Node:
    return ir.div(_n(a), _n(b))


def _pow(a: Operand, b: Operand) -> Node:
    if not isinstance(a, Node) or isinstance(b, Node):
        raise UnsupportedError("its update raises to a power that is not a plain number.")
    simple: dict[float, Callable[[], Node]] = {
        0: lambda: ONE,
        1: lambda: a,
        2: lambda: ir.mul(a, a),
        3: lambda: ir.mul(ir.mul(a, a), a),
        0.5: lambda: node("sqrt", a),
        -1: lambda: ir.div(ONE, a),
    }
    return simple[b]() if b in simple else node("pow", a, constant(b))


def _compare(op: str, swap: bool = False, negate: bool = False) -> Callable[..., Node]:
    def compare(a: Operand, b: Operand) -> Node:
        pair = (_n(b), _n(a)) if swap else (_n(a), _n(b))
        result = node(op, *pair)
        return ir.sub(ONE, result) if negate else result

    return compare


def _where(condition: Node, yes: Operand, no: Operand) -> Node:
    return ir.where(condition, _n(yes), _n(no))


def _clamp(x: Node, low: Operand | None = None, high: Operand | None = None) -> Node:
    # A bound reached exactly lets the gradient through, as in torch.
    if low is not None:
        x = ir.where(node("lt", x, _n(low)), _n(low), x)
    return x if high is None else ir.where(node("lt", _n(high), x), _n(high), x)


def _hardtanh(x: Node, low: float = -1, high: float = 1) -> Node:
    # A bound reached exactly stops the gradient, as in torch.
    x = ir.where(node("le", x, constant(low)), constant(low), x)
    return ir.where(node("le", constant(high), x), constant(high), x)


def _hardsigmoid(x: Node) -> Node:
    return ir.div(ir.add(_hardtanh(x, -3, 3), constant(3)), constant(6))


def _threshold(x: Node, threshold: float, value: float) -> Node:
    return ir.where(node("le", x, constant(threshold)), constant(value), x)


def _leaky_relu(x: Node, slope: float = 0.01) -> Node:
    return ir.where(node("lt", ZERO, x), x, ir.mul(constant(slope), x))


def _elu(x: Node, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Node:
    # expm1 sees no positive number: it would overflow, and 0 * inf would be its gradient.
    positive = node("lt", ZERO, x)
    below = node("expm1", ir.mul(constant(input_scale), ir.where(positive, ZERO, x)))
    return ir.where(positive, _mul(scale, x), _mul(alpha * scale, below))


def _softplus(x: Node, beta: float = 1, threshold: float = 20) -> Node:
    # exp sees no number beyond the threshold, for the same reason as in _elu.
    scaled = ir.mul(constant(beta), x)
    beyond = node("lt", constant(threshold), scaled)
    soft = node("log1p", node("exp", ir.where(beyond, constant(threshold), scaled)))
    return ir.where(beyond, x, ir.div(soft, constant(beta)))


def _gelu(x: Node, approximate: str = "none") -> Node:
    if approximate == "tanh":
        cube = ir.mul(constant(0.044715), ir.mul(x, ir.mul(x, x)))
        bent = node("tanh", ir.mul(constant(math.sqrt(2 / math.pi)), ir.add(x, cube)))
    else:
        bent = node("erf", ir.mul(constant(math.sqrt(0.5)), x))
    return ir.mul(ir.mul(constant(0.5), x), ir.add(ONE, bent))


def _lerp(a: Node, b: Node, weight: Operand) -> Node:
    return ir.add(a, ir.mul(_n(weight), ir.sub(b, a)))


def _addcmul(a: Node, b: Node, c: Node, value: float = 1) -> Node:
    return ir.add(a, ir.mul(constant(value), ir.mul(b, c)))


def _addcdiv(a: Node, b: Node, c: Node, value: float = 1) -> Node:
    return ir.add(a, ir.mul(constant(value), ir.div(b, c)))


def _same(x: Node) -> Node:
    return x


def _unary(op: str) -> Callable[[Node], Node]:
    return lambda x: node(op, x)


def _binary(op: str) -> Callable[[Operand, Operand], Node]:
    return lambda a, b: node(op, _n(a), _n(b))


_NAMESAKES = ("tanh", "sigmoid", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "erf")
_POINTWISE: dict[str, Callable[..., Node]] = {
    **{f"aten.{op}": _unary(op) for op in (*_NAMESAKES, "relu", "abs", "sign", "detach")},
    "aten.add": _add,
    "aten.sub": _sub,
    "aten.rsub": lambda a, b, alpha=1: _sub(b, a, alpha),
    "aten.mul": _mul,
    "aten.div": _div,
    "aten.neg": ir.neg,
    "aten.reciprocal": lambda x: ir.div(ONE, x),
    "aten.rsqrt": lambda x: ir.div(ONE, node("sqrt", x)),
    "aten.square": lambda x: ir.mul(x, x),
    "aten.pow": _pow,
    "aten.maximum": _binary("max"),
    "aten.minimum": _binary("min"),
    "aten.remainder": _binary("remainder"),
    "aten.where": _where,
    "aten.lt": _compare("lt"),
    "aten.le": _compare("le"),
    "aten.gt": _compare("lt", swap=True),
    "aten.ge": _compare("le", swap=True),
    "aten.eq": _compare("eq"),
    "aten.ne": _compare("eq", negate=True),
    "aten.logical_not": lambda x: node("eq", x, ZERO),
    "aten.clamp": _clamp,
    "aten.clamp_min": _clamp,
    "aten.clamp_max": lambda x, high: _clamp(x, None, high),
    "aten.hardtanh": _hardtanh,
    "aten.hardsigmoid": _hardsigmoid,
    "aten.threshold": _threshold,
    "aten.leaky_relu": _leaky_relu,
    "aten.elu": _elu,
    "aten.softplus": _softplus,
    "aten.silu": lambda x: ir.mul(x, node("sigmoid", x)),
    "aten.gelu": _gelu,
    "aten.mish": lambda x: ir.mul(x, node("tanh", _softplus(x))),
    "aten.lerp": _lerp,
    "aten.addcmul": _addcmul,
    "aten.addcdiv": _addcdiv,
    "aten.clone": _same,
    "aten.alias": _same,
    "aten.zeros_like": lambda _: ZERO,
    "aten.ones_like": lambda _: ONE,
    "aten.full_like": lambda _, value: constant(value),
}


def _unbind(x: Grid, dim: int = 0) -> list[Grid]:
    return [x.select(dim, i) for i in range(x.count(dim))]


def _slice(
    x: Grid, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Grid:
    if (start in (None, 0)) and (end is None or end > 1 << 60) and step == 1:
        return x
    return x.cut(dim, slice(start, end, step))


def _split(x: Grid, size: int, dim: int = 0) -> list[Grid]:
    return [x.cut(dim, slice(i, i + size)) for i in range(0, x.count(dim), size)]


def _split_with_sizes(x: Grid, sizes: Sequence[int], dim: int = 0) -> list[Grid]:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [x.cut(dim, slice(i, i + size)) for i, size in zip(starts, sizes, strict=True)]


def _squeeze(x: Grid, dim: int | Sequence[int]) -> Grid:
    depth = len(x.axes)
    dims = [dim] if isinstance(dim, int) else dim
    for d in sorted((d % max(depth, 1) for d in dims), reverse=True):
        x = x.squeeze(d)
    return x


def _stack(grids: Sequence[Grid], dim: int = 0) -> Grid:
    return join([grid.insert(dim) for grid in grids], dim)


def _cat(grids: Sequence[Grid], dim: int = 0) -> Grid:
    return join(grids, dim)


def _sum(x: Grid, dims: Sequence[int], keepdim: bool = False) -> Grid:
    for d in sorted((x.along(d) for d in dims), reverse=True):
        total = reduce(lambda a, b: elementwise(ir.add, a, b), _unbind(x, d))
        x = total.insert(d) if keepdim else total
    return x


_VIEWS: dict[str, Callable[..., Value]] = {
    "aten.unbind": _unbind,
    "aten.select": lambda x, dim, index: x.select(dim, index),
    "aten.slice": _slice,
    "aten.split": _split,
    "aten.split_with_sizes": _split_with_sizes,
    "aten.squeeze": _squeeze,
    "aten.unsqueeze": lambda x, dim: x.insert(dim),
    "aten.stack": _stack,
    "aten.cat": _cat,
    "aten.sum": _sum,
}
