"""C text from an update and its derivative, for the CPU and, as CUDA C++, for the GPU."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnexp.recurrence.native.derive import Adjoint, Update, leaves
from rnnexp.recurrence.native.ir import OPERATIONS, Node, ordered

_FORWARD = "point_forward", ("wx", "rh", "old", "theta"), ("next", "saved")
_BACKWARD = (
    "point_backward",
    ("grad", "old", "next", "theta", "saved"),
    ("d_wx", "d_rh", "d_old", "d_theta"),
)
_GIVEN = "point_given", ("own",), ("theta",)
_BACK_TO_OWN = "point_back_to_own", ("own", "d_theta"), ("d_own",)
_Head = tuple[str, tuple[str, ...], tuple[str, ...]]
"""The name of a C function, and its input and output arrays."""


@dataclass(frozen=True)
class Texts:
    """The part of a source that is the same for every cell.

    Args:
        folder: where the files are.
        before: names of those on which the generated functions build.
        after: names of those that call them.
    """

    folder: Path
    before: tuple[str, ...]
    after: tuple[str, ...]

    def read(self, names: Iterable[str]) -> list[str]:
        """Read some of the files."""
        return [(self.folder / name).read_text(encoding="utf-8") for name in names]


def generate(update: Update, adjoint: Adjoint, double: bool, texts: Texts) -> str:
    """Write the whole source of a cell.

    Args:
        update: the forward computation of one lane.
        adjoint: its derivative.
        double: float64 rather than float32.
        texts: what stands around it.
    """
    parts = [
        precision(double),
        *texts.read(texts.before),
        _sizes(update, adjoint),
        _function(_GIVEN, _own_given(update), _results("theta", update.thetas)),
        _function(_BACK_TO_OWN, _back_to_own_given(update), _results("d_own", adjoint.own)),
        _function(_FORWARD, _forward_given(update), _forward_results(update, adjoint)),
        _function(_BACKWARD, _backward_given(update, adjoint), _backward_results(adjoint)),
        *texts.read(texts.after),
    ]
    return "\n".join(parts)


def precision(double: bool) -> str:
    """Say in C whether numbers are float64 rather than float32."""
    return "#define REAL_IS_DOUBLE" if double else ""


def extras(update: Update, adjoint: Adjoint) -> int:
    """Count the values of a step that need room beside the G of ``W x``."""
    return max(len(adjoint.saved) - update.gates, len(adjoint.differing), 0)


def sums(update: Update, adjoint: Adjoint) -> int:
    """Count the gradients that are summed over time and rows inside the loop."""
    return update.gates + len(adjoint.differing) + len(update.thetas)


def _sizes(update: Update, adjoint: Adjoint) -> str:
    differing = adjoint.differing
    slots = [differing.index(g) if g in differing else -1 for g in range(update.recurrent)]
    sizes = {
        "GATES": update.gates,
        "RECURRENT": update.recurrent,
        "STATES": len(update.states),
        "THETAS": len(update.thetas),
        "OWN": update.own,
        "SAVES": len(adjoint.saved),
        "EXTRAS": extras(update, adjoint),
        "DIFFERING": len(differing),
        "SUMS": sums(update, adjoint),
    }
    lines = [f"#define {name} {size}" for name, size in sizes.items()]
    slot_list = ", ".join(map(str, slots or [-1]))
    return "\n".join([*lines, f"CONSTANT int DIFFERING_SLOT[] = {{{slot_list}}};"])


def _own_given(update: Update) -> dict[Node, str]:
    return _named("own", leaves("own", update.own))


def _back_to_own_given(update: Update) -> dict[Node, str]:
    return {**_own_given(update), **_named("d_theta", leaves("grad", len(update.thetas)))}


def _forward_given(update: Update) -> dict[Node, str]:
    return {
        **_named("wx", leaves("wx", update.gates)),
        **_named("rh", leaves("rh", update.recurrent)),
        **_named("old", leaves("old", len(update.states))),
        **_named("theta", leaves("theta", len(update.thetas))),
    }


def _forward_results(update: Update, adjoint: Adjoint) -> list[tuple[str, Node]]:
    return [*_results("next", update.states), *_results("saved", adjoint.saved)]


def _backward_given(update: Update, adjoint: Adjoint) -> dict[Node, str]:
    return {
        **_named("saved", adjoint.saved),
        **_named("next", update.states),
        **_named("old", leaves("old", len(update.states))),
        **_named("theta", leaves("theta", len(update.thetas))),
        **_named("grad", leaves("grad", len(update.states))),
    }


def _backward_results(adjoint: Adjoint) -> list[tuple[str, Node]]:
    return [
        *_results("d_wx", adjoint.wx),
        *_results("d_rh", [adjoint.rh[g] for g in adjoint.differing]),
        *_results("d_old", adjoint.states),
        *_results("d_theta", adjoint.thetas),
    ]


def _named(array: str, nodes: Iterable[Node]) -> dict[Node, str]:
    return {n: f"{array}[{i}]" for i, n in enumerate(nodes)}


def _results(array: str, nodes: Sequence[Node]) -> list[tuple[str, Node]]:
    return [(f"{array}[{i}]", n) for i, n in enumerate(nodes)]


def _function(head: _Head, given: Mapping[Node, str], results: list[tuple[str, Node]]) -> str:
    name, inputs, outputs = head
    arrays = [f"const vec *{array}" for array in inputs] + [f"vec *{array}" for array in outputs]
    names = dict(given)
    body: list[str] = []
    for n in ordered((n for _, n in results), stop=given):
        if n not in names:
            names[n] = f"v{len(body)}"
            body.append(f"  const vec {names[n]} = {_expression(n, names)};")
    body += [f"  {place} = {names[n]};" for place, n in results]
    return "\n".join([f"INLINE void {name}({', '.join(arrays)}) {{", *body, "}"])


def _expression(n: Node, names: Mapping[Node, str]) -> str:
    if n.op == "constant":
        return f"splat({_literal(n.value)})"
    return OPERATIONS[n.op].text(*(names[arg] for arg in n.args))


def _literal(value: float) -> str:
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"(real){value!r}"
