"""The cells of torchrecurrent 0.2.5 and ours with the same weights: outputs, states, gradients.

Each case says how their weights make up ours. Ours then runs on tensors that are functions of
theirs, so that one mapping serves the values and the gradients by their parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torchrecurrent
from torch import Tensor, nn
from torchrecurrent.base import DecoupledDoubleStateCellBase, DecoupledSingleStateCellBase

from rnnexp.cells import Cell
from rnnexp.registry import Registry
from rnnexp.types import State

T, B, I, H = 7, 3, 5, 4  # noqa: E741
Weights = Mapping[str, Tensor]
Named = dict[str, Tensor]


def _padded(bias: Tensor, to: Tensor) -> Tensor:
    return nn.functional.pad(bias, (0, len(to) - len(bias)))


def _reordered(blocks: Tensor, order: tuple[int, ...]) -> Tensor:
    parts = blocks.split(H)
    return torch.cat([parts[i] for i in order or range(len(parts))])


def stacked(*order: int, **extra: Callable[[Weights], Tensor]) -> Callable[[Weights], Named]:
    """Their two biases of a gate are one of ours; ``order`` lists their input gates in our order.

    ``extra`` makes what a cell has beside W, R and b, and replaces any of these.
    """

    def of(w: Weights) -> Named:
        bias_ih = _reordered(w["bias_ih"], order)
        named = {
            "weight_ih": _reordered(w["weight_ih"], order),
            "weight_hh": w["weight_hh"],
            "bias_ih": bias_ih + _padded(w["bias_hh"], bias_ih),
        }
        return named | {name: make(w) for name, make in extra.items()}

    return of


def without(mapping: Callable[[Weights], Named], *names: str) -> Callable[[Weights], Named]:
    """Leave out what our cell has not."""
    return lambda w: {name: value for name, value in mapping(w).items() if name not in names}


def same(name: str) -> Callable[[Weights], Tensor]:
    return lambda w: w[name]


def block(name: str, *which: int) -> Callable[[Weights], Tensor]:
    return lambda w: _reordered(w[name], which)


def joined(*names: str) -> Callable[[Weights], Tensor]:
    return lambda w: torch.cat([w[name] for name in names])


def rows(name: str, count: int) -> Callable[[Weights], Tensor]:
    return lambda w: w[name].view(count, H)


def added(*makes: Callable[[Weights], Tensor]) -> Callable[[Weights], Tensor]:
    return lambda w: sum((make(w) for make in makes[1:]), makes[0](w))


def _step(cell: nn.Module, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
    """Advance one of their cells, which name output and state in four ways."""
    given = state if len(state) > 1 else state[0]
    result = cell(x_BI, given)
    if isinstance(cell, _DECOUPLED):
        out, last = result
        return out, last if isinstance(last, tuple) else (last,)
    return (result[0], result) if isinstance(result, tuple) else (result, (result,))


_DECOUPLED = (DecoupledSingleStateCellBase, DecoupledDoubleStateCellBase)


def _delayed_step(cell: nn.Module, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
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
    step: Callable[[nn.Module, Tensor, State], tuple[Tensor, State]] = _step
    constants: tuple[str, ...] = ()
    inputs: int = I


PLAIN = stacked()
OWN_RECURRENT_BIAS = stacked(bias_ih=same("bias_ih"), bias_hh=same("bias_hh"))
TWO = (H, H)


def _diagonal_bias(w: Weights) -> Tensor:
    return w["bias_ih"] + _padded(w["bias_hh"], w["bias_ih"])


def _typed_state(state: State, w: Weights) -> State:
    """Ours has room for any number of past inputs."""
    return state[0], state[1].unsqueeze(-2)


def typed(w: Weights) -> Named:
    """Ours sees the last input and this one side by side."""
    beside = torch.cat([w["weight_hh"], w["weight_ih"]], 1)
    return {"weight_ih": beside, "bias_ih": w["bias_ih"] + w["bias_hh"]}


CASES = {
    "AntisymmetricRNNCell": Case(
        "antisymmetric", PLAIN, {"epsilon": 0.3, "gamma": 0.2}, {"epsilon": 0.3, "gamma": 0.2}
    ),
    "GatedAntisymmetricRNNCell": Case(
        "gated_antisymmetric",
        # Their recurrent bias reaches the candidate alone.
        stacked(bias_ih=lambda w: w["bias_ih"] + nn.functional.pad(w["bias_hh"], (H, 0))),
        {"epsilon": 0.3, "gamma": 0.2},
        {"epsilon": 0.3, "gamma": 0.2},
    ),
    "ATRCell": Case("atr", OWN_RECURRENT_BIAS),
    "BRCell": Case(
        "brc",
        without(
            stacked(weight_hh_diagonal=rows("weight_hh", 2), bias_ih=_diagonal_bias), "weight_hh"
        ),
    ),
    "NBRCell": Case("nbrc", PLAIN),
    "CFNCell": Case("cfn", PLAIN),
    "coRNNCell": Case(
        "co_rnn",
        stacked(
            weight_hh=joined("weight_hh", "weight_ch"),
            bias_ih=added(same("bias_ih"), same("bias_hh"), same("bias_ch")),
        ),
        {"dt": 0.3, "gamma": 0.7, "epsilon": 1.1},
        {"dt": 0.3, "gamma": 0.7, "epsilon": 1.1},
        state=TWO,
    ),
    "FastRNNCell": Case("fast_rnn", stacked(alpha=same("alpha"), beta=same("beta"))),
    "FastGRNNCell": Case(
        "fast_grnn",
        stacked(
            # Block 0 is the bias of the gate; ours holds in it what differs from the candidate's.
            bias_ih=added(block("bias_ih", 1), block("bias_hh", 1)),
            bias_gate=lambda w: (
                _reordered(w["bias_ih"] + w["bias_hh"], (0,))
                - _reordered(w["bias_ih"] + w["bias_hh"], (1,))
            ),
            zeta=same("zeta"),
            nu=same("nu"),
        ),
        # Their gate is tanh unless told otherwise, against the paper and their own equation.
        theirs={"nonlinearity": "sigmoid"},
    ),
    "IndRNNCell": Case(
        "ind_rnn",
        lambda w: {
            "weight_ih": w["weight_ih"],
            "bias_ih": w["bias_ih"] + w["bias_hh"],
            "weight_hh_diagonal": w["vector_u"],
        },
        {"nonlinearity": "tanh"},
    ),
    "IntersectionRNNCell": Case("intersection_rnn", PLAIN, inputs=H),
    "JANETCell": Case(
        "janet",
        PLAIN,
        {"beta": 0.75},
        {"beta": 0.75},
        # h is c, so theirs starts from the one as it starts from the other.
        state=(H,),
        to_ours=lambda state, w: state[:1],
        step=lambda cell, x_BI, state: _step(cell, x_BI, (state[0], state[0])),
        constants=("beta",),
    ),
    "LEMCell": Case(
        "lem",
        stacked(
            weight_hh=joined("weight_hh", "weight_ch"),
            bias_ih=lambda w: w["bias_ih"] + torch.cat([w["bias_hh"], w["bias_ch"]]),
        ),
        {"dt": 0.7},
        {"dt": 0.7},
        state=TWO,
    ),
    "LightRUCell": Case("light_ru", stacked(1, 0)),
    "LiGRUCell": Case("li_gru", PLAIN),
    "MCLSTMCell": Case("mc_lstm", PLAIN, state=TWO),
    "MGUCell": Case("mgu", PLAIN),
    "MinimalRNNCell": Case(
        "minimal_rnn",
        stacked(bias_ih=joined("bias_hh", "bias_ih"), weight_nu=same("weight_mm")),
    ),
    "MiRU1Cell": Case("miru1", PLAIN, {"keep": 0.3}, {"update_coefficient": 0.3}),
    "MiRU2Cell": Case(
        "miru2",
        PLAIN,
        {"keep": 0.3, "reset": 0.8},
        {"update_coefficient": 0.3, "reset_coefficient": 0.8},
    ),
    "MultiplicativeLSTMCell": Case(
        "multiplicative_lstm",
        stacked(
            weight_hh=joined("weight_hh", "weight_mh"),
            bias_ih=lambda w: w["bias_ih"] + nn.functional.pad(w["bias_mh"], (H, 0)),
        ),
        # The paper's R h has no bias, neither has ours.
        theirs={"recurrent_bias": False},
        state=TWO,
    ),
    "MUT1Cell": Case(
        "mut1",
        stacked(
            *(1, 2, 0),
            bias_ih=lambda w: (
                _reordered(w["bias_ih"], (1, 2, 0))
                + nn.functional.pad(w["bias_hh"][:H], (0, 2 * H))
            ),
            bias_n=block("bias_hh", 1),
        ),
    ),
    "MUT2Cell": Case("mut2", PLAIN),
    "MUT3Cell": Case("mut3", PLAIN),
    "NASCell": Case("nas", OWN_RECURRENT_BIAS, state=TWO),
    "OriginalLSTMCell": Case("original_lstm", PLAIN, state=TWO),
    "PeepholeLSTMCell": Case("peephole_lstm", stacked(peephole=rows("weight_ph", 3)), state=TWO),
    "RANCell": Case(
        "ran",
        # Their content has no bias: zero in ours.
        lambda w: {
            "weight_ih": _reordered(w["weight_ih"], (1, 2, 0)),
            "weight_hh": w["weight_hh"],
            "bias_ih": nn.functional.pad(w["bias_ih"] + w["bias_hh"], (0, H)),
        },
        state=TWO,
    ),
    "ResLSTMCell": Case(
        "res_lstm",
        stacked(
            peephole=rows("weight_ph", 3),
            weight_projection=same("weight_proj"),
            **{"shortcut.weight": same("weight_res")},
        ),
        state=TWO,
    ),
    "SCRNCell": Case(
        "scrn",
        lambda w: {
            "weight_ih": w["weight_ih"],
            "weight_hh": torch.cat(
                [w[name].split(H)[k] for k in (0, 1) for name in ("weight_hh", "weight_ch")]
            ),
            "bias_ih": w["bias_ih"]
            + nn.functional.pad(w["bias_hh"][:H] + w["bias_ch"][:H], (H, 0)),
            "bias_y": w["bias_hh"][H:] + w["bias_ch"][H:],
        },
        {"alpha": 0.75},
        {"alpha": 0.75},
        state=TWO,
        constants=("alpha",),
    ),
    "SGRNCell": Case("sgrn", OWN_RECURRENT_BIAS),
    "SGUCell": Case(
        "sgu",
        stacked(
            bias_ih=lambda w: w["bias_ih"] + nn.functional.pad(w["bias_hh"][H:], (H, 0)),
            bias_g=block("bias_hh", 0),
        ),
    ),
    "DSGUCell": Case(
        "dsgu",
        stacked(
            weight_hh=joined("weight_hh", "weight_ho"),
            bias_ih=lambda w: w["bias_ih"] + nn.functional.pad(w["bias_hh"][H:], (H, 0)),
            bias_g=block("bias_hh", 0),
        ),
    ),
    "STARCell": Case("star", stacked(1, 0)),
    "tauGRUCell": Case(
        "tau_gru",
        PLAIN,
        {"delay": 2},
        state=(H, H, H),
        # Ours carries the products of the old states with R.
        to_ours=lambda s, w: (s[0], *(old @ w["weight_hh"][H : 2 * H].T for old in s[1:])),
        step=_delayed_step,
    ),
    "TRNNCell": Case("t_rnn", lambda w: {"weight_ih": w["weight_ih"], "bias_ih": w["bias_ih"]}),
    "TGRUCell": Case("t_gru", typed, state=(H, I), to_ours=_typed_state),
    "TLSTMCell": Case("t_lstm", typed, state=(H, I), to_ours=_typed_state),
    "UGRNNCell": Case("ug_rnn", PLAIN),
    "UnICORNNCell": Case(
        "uni_cornn",
        lambda w: {
            "weight_ih": w["weight_ih"],
            "bias_ih": w["bias_ih"],
            "weight_hh_diagonal": w["weight_hh"],
            "step_logit": w["weight_ch"],
        },
        {"dt": 0.4, "alpha": 0.3},
        {"dt": 0.4, "alpha": 0.3},
        state=TWO,
    ),
    "WMCLSTMCell": Case(
        "wmc_lstm",
        lambda w: (
            PLAIN(w)
            | {
                f"memory.{k}.{kind}": w[f"{kind}_mh"].split(H)[k]
                for k in range(3)
                for kind in ("weight", "bias")
            }
        ),
        state=TWO,
    ),
}

DEVIATING = {
    "LEMCell": "h sees the old memory c(t-1), where the paper, and their own equation, have c(t)",
    "NASCell": "gate 3 adds its products, where NASCell of TensorFlow Addons multiplies them",
    "SCRNCell": "the output takes the place of the hidden state in the recurrence",
}
"""What of theirs is not their paper's. Ours is; see test_parity_papers.py."""


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


def _their_cell(name: str) -> nn.Module:
    torch.manual_seed(0)
    case = CASES[name]
    cell = getattr(torchrecurrent, name)(case.inputs, H, **case.theirs).double()
    with torch.no_grad():
        for key, parameter in cell.named_parameters():
            if key not in case.constants:
                parameter.normal_(std=0.7)
    return cell


def _ours(plugins: Registry, name: str, weights: Weights, x_TBI: Tensor, state: State):
    case = CASES[name]
    cell = plugins.get("cell", case.ours).cls(case.inputs, hidden_size=H, **case.options).double()
    named = case.weights(weights)
    assert set(named) == set(dict(cell.named_parameters()))
    tensors = {f"cell.{key}": value for key, value in named.items()}
    start = case.to_ours(state, weights)
    return torch.func.functional_call(_Steps(cell), tensors, (x_TBI, start), strict=True)


def _gradients(found: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    loss = sum((t * torch.randn(t.shape, generator=generator, dtype=t.dtype)).sum() for t in found)
    return list(torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True))


def _both(plugins: Registry, name: str) -> tuple[list[Tensor], list[Tensor]]:
    """Run both; list outputs, last state and all gradients of a loss that weighs them unequally."""
    case, theirs = CASES[name], _their_cell(name)
    x = torch.randn(T, B, case.inputs, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.randn(B, width, dtype=torch.float64, requires_grad=True) for width in case.state
    )
    named = dict(theirs.named_parameters())
    weights = named | dict(theirs.named_buffers())
    out, *last = _rolled(lambda *given: case.step(theirs, *given), x, state)
    wanted = [out, *case.to_ours(tuple(last), weights)]
    found = _ours(plugins, name, weights, x, state)
    leaves = [x, *state, *(p for key, p in named.items() if key not in case.constants)]
    return found + _gradients(found, leaves), wanted + _gradients(wanted, leaves)


def test_every_cell_of_theirs_has_a_case() -> None:
    assert sorted(CASES) == sorted(n for n in torchrecurrent.__all__ if n.endswith("Cell"))
    assert len({case.ours for case in CASES.values()}) == len(CASES) == 41


@pytest.mark.parametrize("name", sorted(CASES.keys() - DEVIATING.keys()))
def test_equals_theirs(plugins: Registry, name: str) -> None:
    found, wanted = _both(plugins, name)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(DEVIATING))
def test_theirs_deviates_from_its_paper(plugins: Registry, name: str) -> None:
    found, wanted = _both(plugins, name)
    assert (found[0] - wanted[0]).abs().max() > 1e-3
