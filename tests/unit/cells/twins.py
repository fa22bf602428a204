"""How a cell of torchrecurrent and ours are run with the same weights.

Each case says how their weights make up ours. Ours then runs on tensors that are functions of
theirs, so that one mapping serves the values and the gradients by their parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torchrecurrent
from torch import Tensor, nn
from torchrecurrent.base import DecoupledDoubleStateCellBase, DecoupledSingleStateCellBase

from rnnexp.cells import Cell
from rnnexp.registry import Registry
from rnnexp.testing.subject import gradients, weighed
from rnnexp.types import State

T, B, I, H = 7, 3, 5, 4  # noqa: E741
Weights = Mapping[str, Tensor]
Named = dict[str, Tensor]


def padded(bias: Tensor, to: Tensor) -> Tensor:
    return nn.functional.pad(bias, (0, len(to) - len(bias)))


def reordered(blocks: Tensor, order: tuple[int, ...]) -> Tensor:
    parts = blocks.split(H)
    return torch.cat([parts[i] for i in order or range(len(parts))])


def stacked(*order: int, **extra: Callable[[Weights], Tensor]) -> Callable[[Weights], Named]:
    """Their two biases of a gate are one of ours; ``order`` lists their input gates in our order.

    ``extra`` makes what a cell has beside W, R and b, and replaces any of these.
    """

    def of(w: Weights) -> Named:
        bias_ih = reordered(w["bias_ih"], order)
        named = {
            "weight_ih": reordered(w["weight_ih"], order),
            "weight_hh": w["weight_hh"],
            "bias_ih": bias_ih + padded(w["bias_hh"], bias_ih),
        }
        return named | {name: make(w) for name, make in extra.items()}

    return of


def without(mapping: Callable[[Weights], Named], *names: str) -> Callable[[Weights], Named]:
    """Leave out what our cell has not."""
    return lambda w: {name: value for name, value in mapping(w).items() if name not in names}


def same(name: str) -> Callable[[Weights], Tensor]:
    return lambda w: w[name]


def block(name: str, *which: int) -> Callable[[Weights], Tensor]:
    return lambda w: reordered(w[name], which)


def joined(*names: str) -> Callable[[Weights], Tensor]:
    return lambda w: torch.cat([w[name] for name in names])


def rows(name: str, count: int) -> Callable[[Weights], Tensor]:
    return lambda w: w[name].view(count, H)


def added(*makes: Callable[[Weights], Tensor]) -> Callable[[Weights], Tensor]:
    return lambda w: sum((make(w) for make in makes[1:]), makes[0](w))


def step_theirs(cell: nn.Module, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
    """Advance one of their cells, which name output and state in four ways."""
    given = state if len(state) > 1 else state[0]
    result = cell(x_BI, given)
    if isinstance(cell, _DECOUPLED):
        out, last = result
        return out, last if isinstance(last, tuple) else (last,)
    return (result[0], result) if isinstance(result, tuple) else (result, (result,))


_DECOUPLED = (DecoupledSingleStateCellBase, DecoupledDoubleStateCellBase)


def delayed_step(cell: nn.Module, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
    h, *past = state
    new = cell(x_BI, h, past[-1])
    return new, (new, h, *past[:-1])


@dataclass(frozen=True)
class Case:
    """How to compare one cell.

    Args:
        ours: its name in our registry.
        weights: makes our parameters, all of them, of theirs.
        options: of ours.
        theirs: options of theirs.
        state: widths of their state tensors.
        to_ours: makes our state of theirs.
        step: advances theirs.
        constants: those of their parameters that are options of ours, and so have no gradient.
        inputs: features.
    """

    ours: str
    weights: Callable[[Weights], Named]
    options: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    state: tuple[int, ...] = (H,)
    to_ours: Callable[[State, Weights], State] = lambda state, w: state
    step: Callable[[nn.Module, Tensor, State], tuple[Tensor, State]] = step_theirs
    constants: tuple[str, ...] = ()
    inputs: int = I


PLAIN = stacked()
OWN_RECURRENT_BIAS = stacked(bias_ih=same("bias_ih"), bias_hh=same("bias_hh"))
TWO = (H, H)


def diagonal_bias(w: Weights) -> Tensor:
    return w["bias_ih"] + padded(w["bias_hh"], w["bias_ih"])


def memory_first(state: State, w: Weights) -> State:
    """Theirs has the memory behind h."""
    return state[::-1]


def typed_state(state: State, w: Weights) -> State:
    """Ours has room for any number of past inputs."""
    return state[0], state[1].unsqueeze(-2)


def typed(w: Weights) -> Named:
    """Ours sees the last input and this one side by side."""
    beside = torch.cat([w["weight_hh"], w["weight_ih"]], 1)
    return {"weight_ih": beside, "bias_ih": w["bias_ih"] + w["bias_hh"]}


class _Steps(nn.Module):
    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_TBI: Tensor, state: State) -> list[Tensor]:
        return _rolled(self.cell.step, x_TBI, state)


def _rolled(
    step: Callable[[Tensor, State], tuple[Tensor, State]], x_TBI: Tensor, state: State
) -> list[Tensor]:
    """List the outputs of all steps, as one tensor, and the last state."""
    outputs = []
    for x_BI in x_TBI:
        out_BH, state = step(x_BI, state)
        outputs.append(out_BH)
    return [torch.stack(outputs), *state]


def _their_cell(name: str, case: Case) -> nn.Module:
    torch.manual_seed(0)
    cell = getattr(torchrecurrent, name)(case.inputs, H, **case.theirs).double()
    with torch.no_grad():
        for key, parameter in cell.named_parameters():
            if key not in case.constants:
                parameter.normal_(std=0.7)
    return cell


def _ours(plugins: Registry, case: Case, weights: Weights, x_TBI: Tensor, state: State):
    cell = plugins.get("cell", case.ours).cls(case.inputs, hidden_size=H, **case.options).double()
    named = case.weights(weights)
    assert set(named) == set(dict(cell.named_parameters()))
    tensors = {f"cell.{key}": value for key, value in named.items()}
    start = case.to_ours(state, weights)
    return torch.func.functional_call(_Steps(cell), tensors, (x_TBI, start), strict=True)


def both(plugins: Registry, name: str, case: Case) -> tuple[list[Tensor], list[Tensor]]:
    """Run both; list outputs, last state and all gradients of a loss that weighs them unequally."""
    theirs = _their_cell(name, case)
    x = torch.randn(T, B, case.inputs, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.randn(B, width, dtype=torch.float64, requires_grad=True) for width in case.state
    )
    named = dict(theirs.named_parameters())
    weights = named | dict(theirs.named_buffers())
    out, *last = _rolled(lambda *given: case.step(theirs, *given), x, state)
    wanted = [out, *case.to_ours(tuple(last), weights)]
    found = _ours(plugins, case, weights, x, state)
    leaves = [x, *state, *(p for key, p in named.items() if key not in case.constants)]
    grads = [list(gradients(weighed(tensors), leaves)) for tensors in (found, wanted)]
    return found + grads[0], wanted + grads[1]
