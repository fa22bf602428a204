"""Expressions of one lane: what an elementwise update does to a single hidden unit of a row.

Equal expressions are one object, so that identity is equality and nothing is computed twice.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from math import pi, sqrt


@dataclass(frozen=True, eq=False)
class Node:
    """One operation on other nodes.

    Args:
        op: a key of `OPERATIONS`, or ``constant``, or a leaf such as ``wx``.
        args: what it acts on.
        value: the number of a constant, the index of a leaf.
    """

    op: str
    args: tuple["Node", ...] = ()
    value: float = 0.0


@dataclass(frozen=True)
class Operation:
    """How an operation is written in C, and its derivative.

    Args:
        text: C of the result, from the names of the arguments.
        adjoint: of (node, dL/d(node)): dL/d(argument) of each argument, None for none.
        costly: whether saving its value is cheaper than computing it again.
    """

    text: Callable[..., str]
    adjoint: Callable[[Node, Node], tuple[Node | None, ...]]
    costly: bool = False


@dataclass
class _Interned:
    nodes: dict[tuple[str, tuple[Node, ...], str], Node] = field(
        default_factory=dict[tuple[str, tuple[Node, ...], str], Node]
    )


_KNOWN = _Interned()


def node(op: str, *args: Node, value: float = 0.0) -> Node:
    """Make an expression, or return the equal one that exists."""
    # repr tells 0.0 from -0.0 and finds NaN equal to itself
    key = (op, args, repr(value))
    return _KNOWN.nodes.setdefault(key, Node(op, args, value))


def constant(value: float) -> Node:
    """Make a number."""
    return node("constant", value=float(value))


ZERO = constant(0.0)
ONE = constant(1.0)


def add(a: Node, b: Node) -> Node:
    """a + b."""
    if ZERO in (a, b):
        return b if a is ZERO else a
    return node("add", a, b)


def sub(a: Node, b: Node) -> Node:
    """a - b."""
    return a if b is ZERO else node("sub", a, b)


def mul(a: Node, b: Node) -> Node:
    """a * b."""
    if ONE in (a, b):
        return b if a is ONE else a
    return node("mul", a, b)


def div(a: Node, b: Node) -> Node:
    """a / b."""
    return a if b is ONE else node("div", a, b)


def neg(a: Node) -> Node:
    """-a."""
    return node("neg", a)


def where(condition: Node, yes: Node, no: Node) -> Node:
    """Yes where the condition is not 0, else no."""
    return node("where", condition, yes, no)


def ordered(roots: Iterable[Node], stop: Container[Node] = ()) -> list[Node]:
    """List all nodes that the roots depend on, arguments before what uses them.

    Args:
        roots: where to begin.
        stop: nodes whose arguments are not looked at.
    """
    seen: dict[Node, None] = {}

    def visit(this: Node) -> None:
        if this not in seen:
            for arg in () if this in stop else this.args:
                visit(arg)
            seen[this] = None

    for root in roots:
        visit(root)
    return list(seen)


def _call(name: str) -> Callable[..., str]:
    return lambda *names: f"op_{name}({', '.join(names)})"


def _infix(sign: str) -> Callable[..., str]:
    return lambda a, b: f"{a} {sign} {b}"


def _no_gradient(this: Node, grad: Node) -> tuple[None, ...]:
    del grad
    return (None,) * len(this.args)


def _adjoint_of_div(this: Node, grad: Node) -> tuple[Node, Node]:
    share = div(grad, this.args[1])
    return share, neg(mul(share, this))


def _adjoint_of_max(this: Node, grad: Node) -> tuple[Node, Node]:
    return _to_winner(grad, *this.args)


def _adjoint_of_min(this: Node, grad: Node) -> tuple[Node, Node]:
    # What the larger would get of b and a, the smaller gets of a and b.
    return _to_winner(grad, *this.args[::-1])


def _to_winner(grad: Node, a: Node, b: Node) -> tuple[Node, Node]:
    # The larger gets the gradient; of a tie each gets half, as in torch.
    shared = where(node("eq", a, b), mul(constant(0.5), grad), grad)
    return where(node("lt", a, b), ZERO, shared), where(node("lt", b, a), ZERO, shared)


def _adjoint_of_where(this: Node, grad: Node) -> tuple[None, Node, Node]:
    condition = this.args[0]
    return None, where(condition, grad, ZERO), where(condition, ZERO, grad)


def _adjoint_of_pow(this: Node, grad: Node) -> tuple[Node, None]:
    base, exponent = this.args
    slope = mul(exponent, node("pow", base, constant(exponent.value - 1)))
    return mul(grad, slope), None


def _adjoint_of_remainder(this: Node, grad: Node) -> tuple[Node, Node]:
    # x = n y + remainder: what n does not depend on, it passes on.
    x, y = this.args
    return grad, neg(mul(grad, div(sub(x, this), y)))


def _adjoint_of_erf(this: Node, grad: Node) -> tuple[Node]:
    x = this.args[0]
    bell = node("exp", neg(mul(x, x)))
    return (mul(grad, mul(constant(2 / sqrt(pi)), bell)),)


OPERATIONS: dict[str, Operation] = {
    "add": Operation(_infix("+"), lambda _, g: (g, g)),
    "sub": Operation(_infix("-"), lambda _, g: (g, neg(g))),
    "mul": Operation(_infix("*"), lambda y, g: (mul(g, y.args[1]), mul(g, y.args[0]))),
    "div": Operation(_infix("/"), _adjoint_of_div),
    "neg": Operation(lambda a: f"-{a}", lambda _, g: (neg(g),)),
    "tanh": Operation(_call("tanh"), lambda y, g: (mul(g, sub(ONE, mul(y, y))),), True),
    "sigmoid": Operation(_call("sigmoid"), lambda y, g: (mul(g, mul(y, sub(ONE, y))),), True),
    "exp": Operation(_call("exp"), lambda y, g: (mul(g, y),), True),
    "expm1": Operation(_call("expm1"), lambda y, g: (mul(g, add(y, ONE)),), True),
    "log": Operation(_call("log"), lambda y, g: (div(g, y.args[0]),), True),
    "log1p": Operation(_call("log1p"), lambda y, g: (div(g, add(y.args[0], ONE)),), True),
    "sqrt": Operation(_call("sqrt"), lambda y, g: (div(g, add(y, y)),), True),
    "sin": Operation(_call("sin"), lambda y, g: (mul(g, node("cos", *y.args)),), True),
    "cos": Operation(_call("cos"), lambda y, g: (neg(mul(g, node("sin", *y.args))),), True),
    "erf": Operation(_call("erf"), _adjoint_of_erf, True),
    "pow": Operation(_call("pow"), _adjoint_of_pow, True),
    "remainder": Operation(_call("remainder"), _adjoint_of_remainder, True),
    "relu": Operation(_call("relu"), lambda y, g: (where(node("le", y, ZERO), ZERO, g),)),
    "abs": Operation(_call("abs"), lambda y, g: (mul(g, node("sign", *y.args)),)),
    "max": Operation(_call("max"), _adjoint_of_max),
    "min": Operation(_call("min"), _adjoint_of_min),
    "where": Operation(_call("where"), _adjoint_of_where),
    "sign": Operation(_call("sign"), _no_gradient),
    "lt": Operation(_call("lt"), _no_gradient),
    "le": Operation(_call("le"), _no_gradient),
    "eq": Operation(_call("eq"), _no_gradient),
    "detach": Operation(lambda a: a, _no_gradient),
}
