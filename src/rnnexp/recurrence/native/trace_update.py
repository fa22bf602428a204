"""Read a cell's `update` by running it once on tensors that record what is done to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.native.aten import Value
from rnnexp.recurrence.native.derive import Update, leaves
from rnnexp.recurrence.native.grid import Grid, UnsupportedError
from rnnexp.recurrence.native.ir import ZERO, Node
from rnnexp.recurrence.native.recorded import translate_node
from rnnexp.recurrence.native.theta import Fixed, Given
from rnnexp.recurrence.stand_in import UpdateOf
from rnnexp.recurrence.unseen import UnseenReads

_ROWS = 2


@dataclass(frozen=True)
class Traced:
    """An update as expressions, and what it takes from the cell's parameters.

    Args:
        update: the expressions.
        given: the tensors that its parameter-only values are made from.
    """

    update: Update
    given: Given


def trace_update(cell: PointwiseCell) -> Traced:
    """Translate a cell's update.

    Raises:
        UnsupportedError: it does what the generator does not know; says what.
    """
    tensors = dict((*cell.named_parameters(), *cell.named_buffers()))
    module = _record(cell, tensors)
    inputs = [n for n in module.graph.nodes if n.op == "placeholder"]
    count = 2 + cell.num_states
    parameters = dict(zip(inputs[count:], tensors.items(), strict=True))
    dtype = cell.weight_ih.dtype
    fixed = Fixed(module, parameters, cell.hidden_size, dtype)
    recurrent = len(cell.recurrent_weight()) // cell.hidden_size
    grids = _data_grids(cell, recurrent)
    values: dict[fx.Node, Value] = dict(zip(inputs[:count], grids, strict=True))
    states = _Reader(dtype, fixed, values).read(cell.num_states)
    update = Update(cell.num_gates, recurrent, states, tuple(fixed.thetas), fixed.rows)
    return Traced(update, fixed.given())


def _record(cell: PointwiseCell, tensors: dict[str, Tensor]) -> fx.GraphModule:
    # Imported late: it takes a second, and only a process that builds a kernel needs it.
    from torch.fx.experimental.proxy_tensor import make_fx

    module = UpdateOf(cell)

    def run(data: list[Tensor], values: list[Tensor]) -> tuple[Tensor, ...]:
        replaced = {f"cell.{name}": v for name, v in zip(tensors, values, strict=True)}
        with UnseenReads(_refuse_read):
            return torch.func.functional_call(module, replaced, tuple(data))

    values = [tensor.detach() for tensor in tensors.values()]
    try:
        with torch.no_grad():
            return make_fx(run)(_example(cell), values)
    except Exception as error:
        raise UnsupportedError(f"its update cannot be recorded: {error}") from error


def _refuse_read(method: str, tensor: Tensor) -> None:
    # The number would be written into the loops, which other cells and later runs share.
    del tensor
    raise UnsupportedError(f"it takes numbers out of a tensor by {method}(); compute with tensors.")


def _example(cell: PointwiseCell) -> list[Tensor]:
    like = cell.weight_ih.detach()
    products = [like.new_zeros(_ROWS, cell.num_gates, cell.hidden_size) for _ in range(2)]
    return products + [like.new_zeros(_ROWS, cell.hidden_size) for _ in range(cell.num_states)]


def _data_grids(cell: PointwiseCell, recurrent: int) -> list[Grid]:
    gates = cell.num_gates
    rh = (*leaves("rh", recurrent), *(ZERO,) * (gates - recurrent))
    products = [
        Grid.of(("B", "G", "H"), nodes, (1, gates, 1)) for nodes in (leaves("wx", gates), rh)
    ]
    states = [Grid.of(("B", "H"), [s], (1, 1)) for s in leaves("old", cell.num_states)]
    return [*products, *states]


@dataclass
class _Reader:
    """Walks a recorded graph once, from inputs to outputs."""

    dtype: torch.dtype
    fixed: Fixed
    values: dict[fx.Node, Value]

    def read(self, count: int) -> tuple[Node, ...]:
        """Translate the whole graph; returns the new states."""
        nodes = self.fixed.module.graph.nodes
        _check_deterministic(nodes)
        for this in nodes:
            if this.op == "get_attr":
                _check_written_out(this)
                self.fixed.nodes.add(this)
            elif this.op == "call_function":
                self._visit(this)
            elif this.op == "output":
                return self._states(this.args[0], count)
        raise AssertionError("a recorded graph has an output")

    def _visit(self, this: fx.Node) -> None:
        if all(arg in self.fixed.nodes for arg in this.all_input_nodes):
            self.fixed.nodes.add(this)
        else:
            self.values[this] = translate_node(this, self._value, self.dtype)

    def _value(self, this: fx.Node) -> Value:
        if this not in self.values:
            self.values[this] = self.fixed.enter(this)
        return self.values[this]

    def _states(self, results: Any, count: int) -> tuple[Node, ...]:
        if len(results) != count:
            raise UnsupportedError(f"its update returns {len(results)} states, not {count}.")
        grids: list[Any] = [self._value(this) for this in results]
        if any(grid.nodes.size != 1 or len(grid.axes) > 2 for grid in grids):
            raise UnsupportedError("its update returns a state that is not of shape (B, H).")
        return tuple(grid.nodes.item() for grid in grids)


def _check_deterministic(nodes: Iterable[fx.Node]) -> None:
    for this in nodes:
        if torch.Tag.nondeterministic_seeded in getattr(this.target, "tags", ()):
            raise UnsupportedError(f"its update draws random numbers ({this.target}).")


def _check_written_out(this: fx.Node) -> None:
    # A tensor written out in `update` is copied on use; any other could change unseen.
    if any("lift_fresh" not in str(user.target) for user in this.users):
        raise UnsupportedError(
            "its update reads a tensor that is neither a parameter nor a buffer; "
            "register it with register_buffer."
        )
