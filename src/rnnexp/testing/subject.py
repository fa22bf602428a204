"""A cell under examination: how to make it, and how to run it."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.recurrence import unroll
from rnnexp.recurrence.generators import generators_kept
from rnnexp.registry import Entry
from rnnexp.testing.checks import BrokenError, PluginSubject
from rnnexp.types import State

T, B, I, H = 5, 3, 2, 4  # noqa: E741  # small, and all different


class CellSubject(PluginSubject):
    """A registered cell."""

    def make(
        self,
        dtype: torch.dtype = torch.float64,
        *,
        seed: int = 0,
        input_size: int = I,
        hidden_size: int = H,
        moved: float = 0.1,
    ) -> Cell:
        """Make the cell with its default options, in evaluation where it draws in training.

        Args:
            dtype: of its weights.
            seed: of its weights.
            input_size: I.
            hidden_size: H; where the cell refuses it, one that it takes.
            moved: by how much its parameters are moved away from special values such as zero.
        """
        units, draws = self.units(hidden_size), self.draws
        torch.manual_seed(seed)
        cell = _in_type(self.entry.cls(input_size, hidden_size=units), dtype)
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.add_(moved * torch.randn_like(parameter))
        return cell.eval() if draws else cell

    def in_each_mode(self, dtype: torch.dtype = torch.float64) -> Iterator[Cell]:
        """Make it as `make` does; in training too where it draws there."""
        yield self.make(dtype)
        if self.draws:
            yield self.make(dtype).train()

    def construct(self, **options: Any) -> Cell:
        """Call its constructor with small sizes.

        Args:
            options: beside the number of units.
        """
        return self.entry.cls(I, hidden_size=self.units(), **options)

    @property
    def draws(self) -> bool:
        """Whether a step in training, or its first state, draws from a global random generator."""
        return _draws(self.entry)

    def units(self, wanted: int = H) -> int:
        """Choose H: what is wanted, or what the cell takes where it refuses that."""
        return _units(self.entry, wanted)


@lru_cache
def _units(entry: Entry, wanted: int) -> int:
    own = (o.default for o in entry.options if o.name == "hidden_size" and type(o.default) is int)
    with torch.random.fork_rng(devices=[]):
        for size in (wanted, *sorted({8, 64, *own})):
            try:
                entry.cls(I, hidden_size=size)
            except Exception:  # whatever a plugin says of a size
                continue
            return size
    return wanted  # it says itself what is wrong


@lru_cache
def _draws(entry: Entry) -> bool:
    units = _units(entry, H)
    with generators_kept(torch.zeros(())), torch.no_grad():
        try:
            cell = entry.cls(I, hidden_size=units)
            x_BI = torch.zeros(B, I)
            with generators_kept(x_BI) as drawn:
                cell.step(x_BI, cell.initial_state((B,)))
                return drawn()
        except Exception:  # whatever a plugin raises: each check says it itself
            return False


def _in_type(cell: Cell, dtype: torch.dtype) -> Cell:
    # `Module.to` would make real numbers of complex ones.
    def cast(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(dtype.to_complex())
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return cell._apply(cast)  # pyright: ignore[reportPrivateUsage]


def random_state(cell: Cell, batch_shape: Sequence[int]) -> State:
    """Make a state with the shapes of the initial one and random values.

    Whole numbers stay as they are: what counts or points at something has bounds of its own.
    """
    return tuple(
        s + 0.5 * torch.randn_like(s) if is_derived(s) else s
        for s in cell.initial_state(batch_shape)
    )


def as_leaf(tensor: Tensor) -> Tensor:
    """Copy a tensor; derive by it, unless it holds whole numbers."""
    return tensor.detach().clone().requires_grad_(is_derived(tensor))


def is_derived(tensor: Tensor) -> bool:
    """Say whether a tensor is of real or complex numbers, which have derivatives."""
    return tensor.is_floating_point() or tensor.is_complex()


def flat(step: tuple[Tensor, State]) -> list[Tensor]:
    """List the output and the new state of a step."""
    return [step[0], *step[1]]


def run_all(
    cell: Cell, x_TBI: Tensor, state: State, backend: str | None = None
) -> dict[str, Tensor]:
    """Name outputs, last state, and every gradient of a loss that weighs all.

    Args:
        cell: any.
        x_TBI: the inputs.
        state: the first state.
        backend: what runs it; None calls ``step`` at each time step, which no backend can get
            wrong.
    """
    leaves = [as_leaf(t) for t in (x_TBI, *state)]
    outputs_TBH, last = _run(cell, leaves[0], tuple(leaves[1:]), backend)
    found = {"outputs": outputs_TBH, **{f"state[{i}]": s for i, s in enumerate(last)}}
    trained = {n: p for n, p in cell.named_parameters() if p.requires_grad}
    asked = {"inputs": leaves[0], **{f"state[{i}]": s for i, s in enumerate(leaves[1:])}, **trained}
    asked = {name: leaf for name, leaf in asked.items() if leaf.requires_grad}
    grads = gradients(weighed(list(found.values())), list(asked.values()))
    return found | {f"dL/d({name})": grad for name, grad in zip(asked, grads, strict=True)}


def _run(cell: Cell, x_TBI: Tensor, state: State, backend: str | None) -> tuple[Tensor, State]:
    if backend is not None:
        done = unroll(cell, x_TBI, state, backend=backend)
        return done.outputs_TBH, done.state
    outputs: list[Tensor] = []
    for x_BI in x_TBI:
        out_BH, state = cell.step(x_BI, state)
        outputs.append(out_BH)
    return torch.stack(outputs), state


def weighed(tensors: Sequence[Tensor]) -> Tensor:
    """Sum tensors up with fixed random weights, so that no two elements count the same."""
    rng = torch.Generator().manual_seed(1)
    terms = [
        (part * torch.randn(part.shape, generator=rng, dtype=part.dtype)).sum()
        for tensor in filter(is_derived, tensors)
        for part in ([tensor.real, tensor.imag] if tensor.is_complex() else [tensor])
    ]
    return torch.stack(terms).sum()


def gradients(loss: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Derive a loss; zero where it does not depend on a leaf: a cell may ignore its input."""
    return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)


def check_equal(a: Tensor, b: Tensor, atol: float, expected: str, subject: CellSubject) -> None:
    """Refuse two tensors that differ.

    Args:
        a: one.
        b: the other.
        atol: by how much they may.
        expected: what the contract asks for.
        subject: whose they are.

    Raises:
        BrokenError: they do by more.
    """
    worst = float((a - b).detach().abs().max()) if a.numel() else 0.0
    if not worst <= atol:
        raise BrokenError(expected, f"differences of {worst:.3g}", f"Look at {subject.place}.")
