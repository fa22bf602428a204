"""The cells of torchrecurrent that have a memory beside h, the LSTM's kind, and ours."""

import torch
from torch import nn

from .twins import (
    OWN_RECURRENT_BIAS,
    PLAIN,
    TWO,
    Case,
    H,
    I,
    joined,
    memory_first,
    reordered,
    rows,
    same,
    stacked,
    step_theirs,
    typed,
    typed_state,
)

CASES_WITH_MEMORY = {
    "JANETCell": Case(
        "janet",
        PLAIN,
        {"beta": 0.75},
        {"beta": 0.75},
        # h is c, so theirs starts from the one as it starts from the other.
        state=(H,),
        to_ours=lambda state, w: state[:1],
        step=lambda cell, x_BI, state: step_theirs(cell, x_BI, (state[0], state[0])),
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
    "MCLSTMCell": Case("mc_lstm", PLAIN, state=TWO, to_ours=memory_first),
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
    "NASCell": Case("nas", OWN_RECURRENT_BIAS, state=TWO),
    "OriginalLSTMCell": Case("original_lstm", PLAIN, state=TWO),
    "PeepholeLSTMCell": Case("peephole_lstm", stacked(peephole=rows("weight_ph", 3)), state=TWO),
    "RANCell": Case(
        "ran",
        # Their content has no bias: zero in ours.
        lambda w: {
            "weight_ih": reordered(w["weight_ih"], (1, 2, 0)),
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
        to_ours=memory_first,
        constants=("alpha",),
    ),
    "TLSTMCell": Case("t_lstm", typed, state=(H, I), to_ours=typed_state),
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
