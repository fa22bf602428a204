"""What mixes units or looks at values is seen from what an update calls, whatever the numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import dropout

from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import choose_backend, unroll
from rnnexp.recurrence.elementwise import reason_against_update
from rnnexp.registry import REGISTRY
from rnnexp.types import State

load_plugins()
Change = Callable[[Tensor], Tensor]


class Changed(PointwiseCell):
    """h = tanh(change(a)), a of shape (B, G, H)."""

    num_gates = 3

    def __init__(self, input_size: int, change: Change, **options) -> None:
        super().__init__(input_size, **options)
        self.change = (change,)  # no plain option: found out anew for each cell

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        del state
        return (torch.tanh(self.change[0](wx_BGH + rh_BGH)),)


def first(a: Tensor) -> Tensor:
    return a.select(-2, 0)


def branch(a: Tensor) -> Tensor:
    return first(a) * (0.5 if a.abs().max() > 1e6 else 1.0)


MIXING: dict[str, tuple[Change, str]] = {
    "a mean behind a relu": (lambda a: first(a) - (first(a) - 9).relu().mean(-1, True), "mean"),
    "of rows": (lambda a: first(a) - (first(a) - 9).relu().mean(0), "mean"),
    "of all": (lambda a: first(a) + (first(a) - 9).relu().sum(), "sum"),
    "a norm": (lambda a: first(a) / first(a).norm(dim=-1, keepdim=True).clamp(min=9), "linalg_v"),
    "a softmax over units": (lambda a: first(a).softmax(-1), "_softmax"),
    "a running sum": (lambda a: first(a).relu().cumsum(-1), "cumsum"),
    "a product": (
        lambda a: (first(a) - 9).relu() @ torch.ones(a.shape[-1], a.shape[-1]).to(a),
        "m",
    ),
    "its neighbour": (lambda a: first(a) + (first(a) - 9).relu().roll(1, -1), "roll"),
    "an order": (lambda a: first(a).sort(-1).values, "sort"),
    # Its second argument is a number, and no axis.
    "the largest unit": (lambda a: first(a + (a - 9).relu().topk(1).values), "topk"),
    "a branch": (branch, "max|looks at a value"),
    "a value": (lambda a: first(a) * float(first(a)[0, 0] > 9), "looks at a value"),
    "a value as a list": (lambda a: first(a) * float(max(first(a)[0].tolist()) > 9), "looks at a"),
    "a value in numpy": (lambda a: first(a) * float(first(a).numpy(force=True).max() > 9), "looks"),
    "chance": (lambda a: dropout(first(a), 0.5), "random numbers"),
}
KEPT: dict[str, Change] = {
    "one gate": first,
    "a sum of gates": lambda a: a.sum(-2),
    "a softmax of gates": lambda a: first(a.softmax(-2)),
    "the largest gate": lambda a: a.max(-2).values,
    "a norm of gates": lambda a: a.norm(dim=-2),
    "other order of gates": lambda a: first(a.flip(-2)),
    "gates by number": lambda a: a.index_select(-2, torch.tensor([2, 0])).sum(-2),
    "stacked": lambda a: torch.stack([a.select(-2, 0), a.select(-2, 1)]).mean(0),
    "a constant's mean": lambda a: first(a) * torch.ones(4, dtype=a.dtype).mean(),
}


@pytest.mark.parametrize("hidden", [3, 4, 11])
@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_is_named_with_its_line(name: str, hidden: int) -> None:
    change, word = MIXING[name]
    torch.manual_seed(0)
    cell = Changed(2, change, hidden_size=hidden).double()
    reason = reason_against_update(cell)
    assert reason is not None
    assert any(part in reason for part in word.split("|")), reason
    assert f"({__file__}:" in reason
    assert choose_backend(cell) == "loop"


class Switched(PointwiseCell):
    """Mixes units where a buffer says so."""

    num_gates = 1

    def __init__(self, mixes: bool) -> None:
        super().__init__(2, hidden_size=4)
        self.register_buffer("mixes", torch.tensor(mixes))

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        a = first(wx_BGH + rh_BGH)
        return (torch.tanh(a - a.mean(-1, True) if self.mixes else a),)


def test_a_cell_whose_buffer_decides_runs_by_the_loop() -> None:
    plain, mixing = Switched(False), Switched(True)
    assert "looks at a value" in str(reason_against_update(plain))
    assert [choose_backend(plain), choose_backend(mixing)] == ["loop", "loop"]


@pytest.mark.parametrize("hidden", [1, 3, 4, 11])
@pytest.mark.parametrize("name", KEPT)
def test_what_joins_gates_alone_is_elementwise(name: str, hidden: int) -> None:
    cell = Changed(2, KEPT[name], hidden_size=hidden).double()
    assert reason_against_update(cell) is None


def test_every_shipped_cell_keeps_units_apart() -> None:
    classes = [e.cls for e in REGISTRY.all("cell") if issubclass(e.cls, PointwiseCell)]
    assert len(classes) > 30
    reasons = {c.__name__: reason_against_update(c(3, hidden_size=8)) for c in classes}
    assert {name: reason for name, reason in reasons.items() if reason} == {}


def test_a_sum_that_opens_late_has_its_gradient() -> None:
    torch.manual_seed(0)
    cell = Changed(2, MIXING["a mean behind a relu"][0], hidden_size=4).double()
    x = 30 * torch.randn(5, 3, 2, dtype=torch.float64)
    grads = []
    for backend in ("auto", "loop"):
        cell.zero_grad()
        unroll(cell, x, backend=backend).outputs_TBH.square().sum().backward()
        grads.append(cell.weight_ih.grad.clone())
    torch.testing.assert_close(*grads)
