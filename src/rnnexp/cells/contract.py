"""What a recurrent cell is: one step in time. The time loop belongs to `rnnexp.recurrence`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnexp.cells.formula import Formula
from rnnexp.cells.init import RecurrentInit, init_input_, square
from rnnexp.errors import ConfigError, PluginError
from rnnexp.types import State

Family = Literal[
    "simple", "gated", "lstm", "timescale", "orthogonal", "linear", "memory", "reservoir", "grid"
]
"""What a cell is for: plain recurrences; gated ones, and those of the LSTM's kind; units with time
scales of their own, oscillators among them; recurrences that keep the gradient's norm; those linear
in their state; those with a memory beside h; fixed reservoirs; more than one axis."""


class Cell(nn.Module, ABC):
    """One step of a recurrence, for any leading batch axes.

    A plugin cell is a subclass under ``@register_cell``; its keyword-only constructor arguments
    are its options. Its outputs depend on ``x`` and ``state`` only: nothing is kept between calls.

    Args:
        hidden_size: hidden units H, which is also the width of the output.
    """

    family: ClassVar[str] = "simple"
    """Under which heading `rnnexp cells` lists it: a `Family`, or a word of its own."""

    recurs_through: ClassVar[Literal["state", "output"]] = "state"
    """``output`` where the cell has no hidden-to-hidden path and needs the model's output back."""

    gradient_of: ClassVar[Literal["output", "state"]] = "output"
    """Whose gradient is shown as dL/dh_t: ``state`` where the output is only read off the state, so
    that nothing comes back through the output from later steps. Then it is that of state[0], which
    must be the memory that the output is read off."""

    surrogate_gradient: ClassVar[bool] = False
    """True where its derivative is meant to be another than that of its step, as the surrogate of a
    spike's or a straight-through one: no comparison with finite differences can then hold."""

    clock_states: ClassVar[tuple[int, ...]] = ()
    """Which of the state tensors only count steps, whatever the inputs and the other states are.
    They are no dynamics: a growth of 1 that says nothing of the cell. What is measured of the
    Jacobian leaves them as they are."""

    operators_are_gates: ClassVar[bool] = True
    """False where a sigmoid or tanh that `step` calls is neither a gate nor a unit's activation, as
    one that divides a weight of 1 between two gates: ``flow/saturated``, which counts what is
    called, is left out."""

    def __init__(self, input_size: int, *, hidden_size: int = 64) -> None:
        super().__init__()
        if hidden_size < 1:
            raise ConfigError(f"cell.hidden_size: must be at least 1, got {hidden_size}.")
        self.input_size = input_size
        self.hidden_size = hidden_size

    @abstractmethod
    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Make the state before the first step, on the device and of the type of the weights.

        Each tensor begins with the batch axes; what follows is the cell's own affair: a vector, a
        matrix for each row, the last inputs, or nothing.

        Args:
            batch_shape: the leading axes, usually ``(B,)``.
        """

    @abstractmethod
    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one time step.

        Args:
            x_BI: input of this step, shape (..., B, I).
            state: what the previous step returned, or `initial_state`.

        Returns:
            The output, shape (..., B, H), and the new state.
        """

    def moving_states(self, count: int) -> tuple[int, ...]:
        """Say which of the state's tensors, ``count`` in all, move: all but those that are driven,
        as clocks are."""
        return tuple(i for i in range(count) if i not in self.clock_states)

    @property
    def skips(self) -> tuple[int, ...]:
        """How many steps back h reaches h_t beside h_{t-1}, as a queue in the state may hold it:
        what ``rnnexp unfold`` draws as arcs."""
        return ()

    def zeros(self, batch_shape: Sequence[int], *shape: int) -> Tensor:
        """Make a zero tensor like the weights, shape (*batch_shape, *shape); H if none is given."""
        like = next(self.parameters())
        shape = shape or (self.hidden_size,)
        return torch.zeros(*batch_shape, *shape, dtype=like.dtype, device=like.device)

    def twin(self) -> "Twin | None":
        """Name the torch.nn module that computes the same, if there is one."""
        return None


@dataclass(frozen=True)
class Twin:
    """A torch.nn recurrence that equals a cell, with the cell's weights in its layout."""

    kind: Literal["RNN_TANH", "RNN_RELU", "LSTM", "GRU"]
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor


class MatrixCell(Cell):
    """A cell of stacked matrices W for the input and R for the past, one block of rows a gate.

        wx_t = W x_t + b        G gates

    A subclass states how many gates and states there are, and writes `step` with the help of
    `project_input` and `recur`. Where ``R h`` is its only product inside the time loop, it is a
    `PointwiseCell`, which is faster.

    Args:
        recurrent_init: initial recurrent weights; orthogonal and identity keep the norm of h.
    """

    num_gates: ClassVar[int]
    num_states: int = 1
    num_recurrent: ClassVar[int | None] = None
    """How many matrices R there are, those of the first gates; None for one for each gate."""

    recurrent_bias: ClassVar[bool] = False
    """True where ``R h`` needs a bias of its own, as in the candidate of the GRU."""

    def __init__(
        self,
        input_size: int,
        *,
        recurrent_init: RecurrentInit = "orthogonal",
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        _check_count(self, "num_gates", 1)
        _check_count(self, "num_states", 0)
        rows = self.num_gates * self.hidden_size
        recurrent = self.num_gates if self.num_recurrent is None else self.num_recurrent
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        init_input_(self.weight_ih, self.hidden_size)
        self.weight_hh = square(self.hidden_size, recurrent, recurrent_init) if recurrent else None
        self.bias_ih = nn.Parameter(torch.zeros(rows))
        biases = recurrent * self.hidden_size
        self.bias_hh = nn.Parameter(torch.zeros(biases)) if self.recurrent_bias else None

    def project_input(self, x_BI: Tensor) -> Tensor:
        """Compute ``W x + b``, shape (..., B, G, H), for one step or for all T at once."""
        return self._gates(nn.functional.linear(x_BI, self.weight_ih, self.bias_ih))

    def project_recurrent(self, h_BH: Tensor) -> Tensor:
        """Compute ``R h (+ b_r)`` of all matrices R at once, shape (..., B, matrices, H)."""
        assert self.weight_hh is not None
        product = nn.functional.linear(h_BH, self.weight_hh, self.bias_hh)
        return product.unflatten(-1, (-1, self.hidden_size))

    def recur(self, gate: int, h_BH: Tensor) -> Tensor:
        """Compute the product of one gate's R with h, or with what stands for it; (..., B, H)."""
        assert self.weight_hh is not None
        rows = slice(gate * self.hidden_size, (gate + 1) * self.hidden_size)
        bias = None if self.bias_hh is None else self.bias_hh[rows]
        return nn.functional.linear(h_BH, self.weight_hh[rows], bias)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from zeros."""
        like, shape = self.weight_ih, (*batch_shape, self.hidden_size)
        return tuple(like.new_zeros(shape) for _ in range(self.num_states))

    def gate_bias(self, gate: int) -> Tensor:
        """View the input bias of one gate, shape (H,), to set its initial value."""
        return self.bias_ih.detach().view(self.num_gates, self.hidden_size)[gate]

    def _gates(self, flat: Tensor) -> Tensor:
        return flat.unflatten(-1, (self.num_gates, self.hidden_size))


class PointwiseCell(MatrixCell):
    """A cell whose only matrix product inside the time loop is ``R h``; all else is elementwise.

        wx_t  = W x_t + b          all time steps at once, before the loop
        rh_t  = R h_{t-1} (+ b_r)  inside the loop; zero for gates without an R
        state = update(wx_t, rh_t, state)

    A subclass states `num_gates`, `num_states` and `update`; ``state[0]`` is h, the output.
    From `update` alone the engine derives `step`, a fast forward and a fast backward pass. A
    subclass that overrides `step` runs by that, one step after the other.
    """

    @abstractmethod
    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Compute the new state from the two products, elementwise over (B, H).

        Args:
            wx_BGH: ``W x_t + b``, shape (..., B, G, H). Select gates by ``unbind(-2)``.
            rh_BGH: ``R h_{t-1}``, the same shape.
            state: S tensors of shape (..., B, H).
        """

    def recurrent_weight(self) -> Tensor:
        """Make R as the loop multiplies by it, one block of rows for each gate that has one.

        Override it where R is made of other parameters, or `weight_hh` is constrained.
        """
        if self.weight_hh is None:
            return self.weight_ih.new_zeros(0, self.hidden_size)
        return self.weight_hh

    def full_recurrent_weight(self) -> Tensor:
        """Make R with a block for every gate, shape (G*H, H), zero for gates without an R."""
        weight = self.recurrent_weight()
        missing = self.num_gates * self.hidden_size - weight.shape[0]
        return nn.functional.pad(weight, (0, 0, 0, missing)) if missing else weight

    def project_recurrent(self, h_BH: Tensor) -> Tensor:
        """Compute ``R h (+ b_r)``, shape (..., B, G, H); zero for gates without an R."""
        product = nn.functional.linear(h_BH, self.recurrent_weight(), self.bias_hh)
        missing = self.num_gates * self.hidden_size - product.shape[-1]
        return self._gates(nn.functional.pad(product, (0, missing)) if missing else product)

    def formula(self) -> Formula | None:
        """Give `update` and its derivatives by formula, if there is one; see `Formula`."""
        return None

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one time step: `update` of the two products."""
        state = self.update(self.project_input(x_BI), self.project_recurrent(state[0]), state)
        return state[0], state


def has_own_step(cell: Cell) -> bool:
    """Tell whether a `PointwiseCell` overrides `step`: its `update` alone then tells no run."""
    return isinstance(cell, PointwiseCell) and type(cell).step is not PointwiseCell.step


def still_holds(cell: Cell, name: str, *of: str) -> bool:
    """Tell whether what a class states beside its methods is not of methods overridden since.

    Args:
        cell: any.
        name: of what is stated, such as ``formula``.
        of: the methods that it is true of.
    """
    first = next(kind for kind in type(cell).__mro__ if {name, *of} & vars(kind).keys())
    return name in vars(first)


def _check_count(cell: MatrixCell, name: str, least: int) -> None:
    count = getattr(cell, name, None)
    if not isinstance(count, int) or count < least:
        what = "is not stated" if count is None else f"is {count!r}"
        raise PluginError(
            f"{type(cell).__name__}: {name} {what}; state it in the class, such as {name} = 2, a "
            f"whole number of at least {least}."
        )
