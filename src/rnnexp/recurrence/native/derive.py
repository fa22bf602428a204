"""The derivative of an elementwise update, and what of the forward pass it needs saved."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnnexp.recurrence.native.ir import OPERATIONS, ZERO, Node, add, node, ordered


@dataclass(frozen=True)
class Update:
    """`PointwiseCell.update` for one hidden unit of one row.

    Args:
        gates: G.
        recurrent: how many of them, the first, have an R.
        states: the new value of each state.
        thetas: what depends on parameters only, by rows of those, the leaves ``own``.
        own: how many such rows there are.
    """

    gates: int
    recurrent: int
    states: tuple[Node, ...]
    thetas: tuple[Node, ...]
    own: int


@dataclass(frozen=True)
class Adjoint:
    """dL/d(input) of an `Update`, from dL/d(new state), the leaves ``grad``.

    Args:
        wx: of W x, one per gate.
        rh: of R h, one per gate that has an R; the same node where only their sum was used.
        states: of each old state, apart from what goes through R h.
        thetas: of each parameter-only value.
        own: of each row of parameters, from dL/d(theta), the leaves ``grad``.
        saved: what the forward pass has to save for it.
    """

    wx: tuple[Node, ...]
    rh: tuple[Node, ...]
    states: tuple[Node, ...]
    thetas: tuple[Node, ...]
    own: tuple[Node, ...]
    saved: tuple[Node, ...]

    @property
    def differing(self) -> tuple[int, ...]:
        """The gates whose dL/d(rh) is not their dL/d(wx)."""
        both = zip(self.wx, self.rh, strict=False)
        return tuple(g for g, (wx, rh) in enumerate(both) if wx is not rh)


def leaves(kind: str, count: int) -> tuple[Node, ...]:
    """Make the inputs of one kind: ``wx``, ``rh``, ``old``, ``theta``, ``own`` or ``grad``."""
    return tuple(node(kind, value=float(i)) for i in range(count))


def derive(update: Update) -> Adjoint:
    """Differentiate an update in reverse, and choose what is saved.

    Source: reverse accumulation; Griewank and Walther, "Evaluating Derivatives", chapter 3.
    """
    grads = _back_propagate(update.states)
    wx, rh = _of(grads, "wx", update.gates), _of(grads, "rh", update.recurrent)
    old = _of(grads, "old", len(update.states))
    thetas = _of(grads, "theta", len(update.thetas))
    own = _of(_back_propagate(update.thetas), "own", update.own)
    saved = _choose_saved(update.states, (*wx, *rh, *old, *thetas))
    return Adjoint(wx, rh, old, thetas, own, saved)


def _of(grads: dict[Node, Node], kind: str, count: int) -> tuple[Node, ...]:
    return tuple(grads.get(leaf, ZERO) for leaf in leaves(kind, count))


def _back_propagate(results: Sequence[Node]) -> dict[Node, Node]:
    grads: dict[Node, Node] = {}
    for result, grad in zip(results, leaves("grad", len(results)), strict=True):
        _accumulate(grads, result, grad)
    for this in reversed(ordered(results)):
        if this not in grads or not this.args:
            continue
        shares = OPERATIONS[this.op].adjoint(this, grads[this])
        for arg, share in zip(this.args, shares, strict=True):
            if share is not None and arg.op != "constant":
                _accumulate(grads, arg, share)
    return grads


def _accumulate(grads: dict[Node, Node], of: Node, share: Node) -> None:
    grads[of] = add(grads[of], share) if of in grads else share


def _choose_saved(states: Sequence[Node], roots: Iterable[Node]) -> tuple[Node, ...]:
    """Save what is costly to compute, and what cannot be computed from what is at hand.

    At hand are the old and the new states, the parameter-only values and the numbers.
    """
    boundary = _boundary(set(ordered(states)), roots)
    at_hand = set(states)
    saved = [n for n in boundary if n not in at_hand and n.args and OPERATIONS[n.op].costly]
    at_hand.update(saved)
    for n in boundary:
        if not _computable(n, at_hand):
            saved.append(n)
            at_hand.add(n)
    return tuple(saved)


def _boundary(forward: set[Node], roots: Iterable[Node]) -> list[Node]:
    """List the values of the forward pass that the derivative uses directly."""
    touched = [n for n in ordered(roots, stop=forward) if n in forward]
    return [n for n in ordered(touched) if n in touched]


def _computable(this: Node, at_hand: set[Node]) -> bool:
    if this in at_hand or this.op in ("constant", "theta", "old"):
        return True
    if not this.args or OPERATIONS[this.op].costly:
        return False
    return all(_computable(arg, at_hand) for arg in this.args)
