"""The part of an update that depends on parameters only: computed once, before the time loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from rnnexp.recurrence.native.grid import GATES, Axis, Grid, UnsupportedError
from rnnexp.recurrence.native.ir import node


@dataclass
class Fixed:
    """Those nodes of a recorded graph that no data reaches.

    Args:
        module: the recorded graph.
        parameters: the tensor behind each placeholder that stands for one, and its name.
        units: H.
        nodes: what was found so far.
        entered: those of them that the rest of the graph uses.
        rows: how many rows of (H,) the entered ones have together.
    """

    module: fx.GraphModule
    parameters: dict[fx.Node, tuple[str, Tensor]]
    units: int
    nodes: set[fx.Node] = field(default_factory=set[fx.Node])
    entered: list[fx.Node] = field(default_factory=list[fx.Node])
    rows: int = 0

    def __post_init__(self) -> None:
        self.nodes.update(self.parameters)

    def enter(self, this: fx.Node) -> Grid:
        """Make leaves for a value, by the shape that it has now."""
        value = self._now(this)
        if value.ndim == 0 and not self._inputs_of([this]):
            return Grid.number(value.item())
        self.entered.append(this)
        gates = tuple(value.shape[:-1])
        first, self.rows = self.rows, self.rows + prod(gates)
        nodes = [node("theta", value=float(i)) for i in range(first, self.rows)]
        return Grid.of(self._axes(value), nodes, (*gates, 1) if value.ndim else ())

    def function(self) -> tuple[tuple[str, ...], Callable[..., Tensor]]:
        """Make what computes all entered values as (rows, H) of the parameters named."""
        inputs = self._inputs_of(self.entered)
        module = self._module_of(self.entered, inputs)
        units = self.units

        def thetas(*values: Tensor) -> Tensor:
            # Its forward, not its call: what a module does around it takes longer than the values.
            rows = [_rows(value, units) for value in module.forward(*values)]
            whole = torch.cat(rows) if len(rows) > 1 else rows[0]
            return whole if whole.dtype == values[0].dtype else whole.to(values[0].dtype)

        return tuple(self.parameters[n][0] for n in inputs), thetas

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

    def _now(self, this: fx.Node) -> Tensor:
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
