"""The part of an update that depends on parameters only: computed once, before the time loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from rnnexp.recurrence.native.aten import Value
from rnnexp.recurrence.native.grid import GATES, Axis, Grid, UnsupportedError
from rnnexp.recurrence.native.ir import Node, node
from rnnexp.recurrence.native.recorded import translate_node


@dataclass(frozen=True)
class Given:
    """The tensors that the parameter-only values are made from, row of (H,) by row.

    Args:
        sources: the name and the number of rows of each; no name: torch computes it.
        computed_of: names of the tensors that the computed ones are made from.
        compute: makes those, each of shape (rows, H); None if there are none.
    """

    sources: tuple[tuple[str | None, int], ...]
    computed_of: tuple[str, ...]
    compute: Callable[..., list[Tensor]] | None


@dataclass
class _Found:
    """What the values are made from: tensors, those of them that torch computes, their rows."""

    sources: list[tuple[str | None, int]] = field(default_factory=list[tuple[str | None, int]])
    computed: list[fx.Node] = field(default_factory=list[fx.Node])
    values: dict[fx.Node, Value] = field(default_factory=dict[fx.Node, Value])

    @property
    def rows(self) -> int:
        return sum(rows for _, rows in self.sources)

    def copy(self) -> "_Found":
        return _Found(list(self.sources), list(self.computed), dict(self.values))


@dataclass
class Fixed:
    """Those nodes of a recorded graph that no data reaches.

    What of them is elementwise is compiled with the rest; torch computes the others, in each run.

    Args:
        module: the recorded graph.
        parameters: the tensor behind each placeholder that stands for one, and its name.
        units: H.
        dtype: in which the cell computes.
        nodes: what was found so far.
        thetas: the values that enter the rest of the graph, one per row of (H,).
    """

    module: fx.GraphModule
    parameters: dict[fx.Node, tuple[str, Tensor]]
    units: int
    dtype: torch.dtype
    nodes: set[fx.Node] = field(default_factory=set[fx.Node])
    thetas: list[Node] = field(default_factory=list[Node])
    _found: _Found = field(default_factory=_Found)

    def __post_init__(self) -> None:
        self.nodes.update(self.parameters)

    def enter(self, this: fx.Node) -> Value:
        """Make leaves for a value, by the shape that it has now."""
        value = self._value(this)
        if isinstance(value, list):
            return [self._as_leaves(grid) for grid in value]
        return self._as_leaves(value)

    @property
    def rows(self) -> int:
        """Count the rows of parameters that the values are made from."""
        return self._found.rows

    def given(self) -> Given:
        """Say what all values that have entered are made from."""
        found, units, dtype = self._found, self.units, self.dtype
        if not found.computed:
            return Given(tuple(found.sources), (), None)
        inputs = self._inputs_of(found.computed)
        module = self._module_of(found.computed, inputs)

        def compute(*values: Tensor) -> list[Tensor]:
            # Its forward, not its call: what a module does around it takes longer than the values.
            return [_rows(value.to(dtype), units) for value in module.forward(*values)]

        return Given(tuple(found.sources), tuple(self.parameters[n][0] for n in inputs), compute)

    def _as_leaves(self, grid: Grid) -> Grid:
        nodes = [self._leaf(n) for n in grid.nodes.ravel()]
        return Grid.of(grid.axes, nodes, grid.nodes.shape)

    def _leaf(self, this: Node) -> Node:
        if this.op == "constant":
            return this
        if this not in self.thetas:
            self.thetas.append(this)
        return node("theta", value=float(self.thetas.index(this)))

    def _value(self, this: fx.Node) -> Value:
        if this not in self._found.values:
            before = self._found.copy()
            try:
                value = self._translated(this)
            except UnsupportedError:
                self._found = before  # what it is made from is not needed
                now = self._now(this)
                if not isinstance(now, Tensor):  # several: torch computes what is made of them
                    raise
                value = self._own(None, now)
                self._found.computed.append(this)
            self._found.values[this] = value
        return self._found.values[this]

    def _translated(self, this: fx.Node) -> Value:
        if this in self.parameters:
            name, tensor = self.parameters[this]
            if tensor.dtype != self.dtype or tensor.shape[-1:] != (self.units,):
                raise UnsupportedError("its rows are not those of the hidden units.")
            return self._own(name, tensor)
        now = None if self._inputs_of([this]) else self._now(this)
        if isinstance(now, Tensor) and now.ndim == 0:
            return Grid.number(now.item())
        if this.op == "get_attr":
            raise UnsupportedError("it is a tensor written out.")
        return translate_node(this, self._value, self.dtype)

    def _own(self, name: str | None, value: Tensor) -> Grid:
        axes, gates = self._axes(value), tuple(value.shape[:-1])
        first, count = self.rows, prod(gates)
        self._found.sources.append((name, count))
        nodes = [node("own", value=float(i)) for i in range(first, first + count)]
        return Grid.of(axes, nodes, (*gates, 1) if value.ndim else ())

    def _axes(self, value: Tensor) -> tuple[Axis, ...]:
        if value.ndim == 0:
            return ()
        if value.shape[-1] not in (1, self.units):
            raise UnsupportedError(
                f"its update uses a parameter of shape {tuple(value.shape)}; the last axis must "
                f"be the {self.units} hidden units."
            )
        last: Axis = "H" if value.shape[-1] == self.units else GATES
        before: tuple[Axis, ...] = (GATES,) * (value.ndim - 1)
        return (*before, last)

    def _now(self, this: fx.Node) -> Any:
        inputs = self._inputs_of([this])
        values = [self.parameters[n][1].detach() for n in inputs]
        return self._module_of([this], inputs)(*values)[0]

    def _inputs_of(self, results: Sequence[fx.Node]) -> list[fx.Node]:
        found = _closure(results)
        return [n for n in self.parameters if n in found]

    def _module_of(self, results: Sequence[fx.Node], inputs: Sequence[fx.Node]) -> fx.GraphModule:
        graph = fx.Graph()
        copies: dict[fx.Node, Any] = {n: graph.placeholder(n.name) for n in inputs}
        needed = _closure(results)
        for this in self.module.graph.nodes:
            if this in needed and this not in copies:
                copies[this] = graph.node_copy(this, copies.__getitem__)
        graph.output(tuple(copies[n] for n in results))
        return fx.GraphModule(self.module, graph)


def _rows(value: Tensor, units: int) -> Tensor:
    if value.ndim == 0 or value.shape[-1] != units:
        value = value.expand(*value.shape[:-1], units)
    return value.reshape(-1, units)


def _closure(results: Sequence[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = list(results)
    while waiting:
        this = waiting.pop()
        if this not in found:
            found.add(this)
            waiting.extend(this.all_input_nodes)
    return found
