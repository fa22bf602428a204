"""The step of the optimizer is fused where torch can, and is the same step."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from rnnexp.training.optimizer import Make, make_optimizer


def parameters(**options: Any) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3), (4,), ()]
    return [nn.Parameter(torch.randn(s, generator=generator, **options)) for s in shapes]


@pytest.mark.parametrize(
    "make",
    [
        partial(Adam, lr=0.1, weight_decay=0.1),
        partial(AdamW, lr=0.1),
        partial(SGD, lr=0.1, momentum=0.9, nesterov=True),
    ],
)
def test_a_fused_step_is_the_same_step(make: Make) -> None:
    mine, theirs = parameters(), parameters()
    fused, plain = make_optimizer(make, mine, mixed=False), make(theirs)
    assert fused.param_groups[0]["fused"] is True
    for _ in range(10):
        for p in (*mine, *theirs):
            p.grad = p.detach().sin()
        fused.step()
        plain.step()
    torch.testing.assert_close(mine, theirs)


NOT_FUSED = {
    "mixed precision": (Adam, {"mixed": True}, {}),
    "complex numbers": (Adam, {"mixed": False}, {"dtype": torch.complex64}),
    "another way named": (partial(Adam, foreach=True), {"mixed": False}, {}),
    "asked not to": (partial(Adam, fused=False), {"mixed": False}, {}),
    "an optimizer without": (RMSprop, {"mixed": False}, {}),
}


@pytest.mark.parametrize("name", NOT_FUSED)
def test_what_cannot_be_fused_is_not(name: str) -> None:
    make, asked, options = NOT_FUSED[name]
    assert not make_optimizer(make, parameters(**options), **asked).param_groups[0].get("fused")
