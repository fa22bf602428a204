"""The cells of torchrecurrent 0.2.5 and ours with the same weights: outputs, states, gradients."""

import pytest
import torch
import torchrecurrent
from torch import nn

from rnnexp.registry import Registry

from .twins import (
    OWN_RECURRENT_BIAS,
    PLAIN,
    TWO,
    Case,
    H,
    I,
    added,
    block,
    both,
    delayed_step,
    diagonal_bias,
    joined,
    reordered,
    rows,
    same,
    stacked,
    typed,
    typed_state,
    without,
)
from .twins_with_memory import CASES_WITH_MEMORY

CASES = {
    **CASES_WITH_MEMORY,
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
            stacked(weight_hh_diagonal=rows("weight_hh", 2), bias_ih=diagonal_bias), "weight_hh"
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
            # Their biases are the gate's, then the candidate's.
            bias_z=added(block("bias_ih", 0), block("bias_hh", 0)),
            bias_ih=added(block("bias_ih", 1), block("bias_hh", 1)),
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
    "LightRUCell": Case("light_ru", stacked(1, 0)),
    "LiGRUCell": Case("li_gru", PLAIN),
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
    "MUT1Cell": Case(
        "mut1",
        stacked(
            *(1, 2, 0),
            bias_ih=lambda w: (
                reordered(w["bias_ih"], (1, 2, 0)) + nn.functional.pad(w["bias_hh"][:H], (0, 2 * H))
            ),
            bias_n=block("bias_hh", 1),
        ),
    ),
    "MUT2Cell": Case("mut2", PLAIN),
    "MUT3Cell": Case("mut3", PLAIN),
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
        step=delayed_step,
    ),
    "TRNNCell": Case("t_rnn", lambda w: {"weight_ih": w["weight_ih"], "bias_ih": w["bias_ih"]}),
    "TGRUCell": Case("t_gru", typed, state=(H, I), to_ours=typed_state),
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
}

DEVIATING = {
    "LEMCell": "h sees the old memory c(t-1), where the paper, and their own equation, have c(t)",
    "NASCell": "gate 3 adds its products, where NASCell of TensorFlow Addons multiplies them",
    "SCRNCell": "the output takes the place of the hidden state in the recurrence",
}
"""What of theirs is not their paper's. Ours is; see test_parity_papers.py."""


def test_every_cell_of_theirs_has_a_case() -> None:
    assert sorted(CASES) == sorted(n for n in torchrecurrent.__all__ if n.endswith("Cell"))
    assert len({case.ours for case in CASES.values()}) == len(CASES) == 41


@pytest.mark.parametrize("name", sorted(CASES.keys() - DEVIATING.keys()))
def test_equals_theirs(plugins: Registry, name: str) -> None:
    found, wanted = both(plugins, name, CASES[name])
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(DEVIATING))
def test_theirs_deviates_from_its_paper(plugins: Registry, name: str) -> None:
    found, wanted = both(plugins, name, CASES[name])
    assert (found[0] - wanted[0]).abs().max() > 1e-3
