"""A pointwise cell that overrides `step` runs by that, and by nothing made of its `update`."""

import pytest
import torch
from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell
from rnnexp.errors import ConfigError
from rnnexp.recurrence import BACKENDS, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import Registry
from rnnexp.training.omega import omega
from rnnexp.types import State

T, B, I, H = 5, 2, 3, 4  # noqa: E741


class Skip(PointwiseCell):
    """Shows the state before, and the input beside it."""

    num_gates = 1
    gradient_of = "state"

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        _, new = super().step(x_BI, state)
        return state[0] + x_BI.sum(-1, keepdim=True), new


class Inherits(Skip):
    """Has the step of its parent."""

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return (torch.relu((wx_BGH + rh_BGH).squeeze(-2)),)


def by_hand(cell: Cell, x_TBI: Tensor) -> Tensor:
    state, outputs = cell.initial_state((B,)), list[Tensor]()
    for x_BI in x_TBI:
        out_BH, state = cell.step(x_BI, state)
        outputs.append(out_BH)
    return torch.stack(outputs)


@pytest.mark.parametrize("backend", ["auto", "loop"])
@pytest.mark.parametrize("cls", [Skip, Inherits])
def test_it_runs_by_its_step(cls: type[Cell], backend: str) -> None:
    cell, x_TBI = cls(I, hidden_size=H), torch.randn(T, B, I)
    run = unroll(cell, x_TBI, backend=backend)
    assert run.backend == "loop"
    torch.testing.assert_close(run.outputs_TBH, by_hand(cell, x_TBI))


def test_what_is_made_of_the_update_refuses_it_in_words(plugins: Registry) -> None:
    class Own(plugins.get("cell", "elman").cls):
        def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
            return super().step(2 * x_BI, state)

    for name in set(BACKENDS) - {"loop", "parallel", "scan"}:
        assert str(reason_against(name, Own(I, hidden_size=H))).startswith("its step is its own")
    h_TBH = torch.zeros(T, B, H)
    with pytest.raises(ConfigError, match="a step that is made of update; Skip states its own"):
        omega(Skip(I, hidden_size=H), torch.zeros(T, B, I), (h_TBH,), h_TBH, "paper")


def test_a_twin_of_the_class_above_is_none_of_another_update(plugins: Registry) -> None:
    class Doubled(plugins.get("cell", "lstm").cls):
        def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
            h, c = super().update(wx_BGH, rh_BGH, state)
            return 2 * h, c

    cell = Doubled(I, hidden_size=H)
    assert reason_against("vendor", plugins.get("cell", "lstm").cls(I, hidden_size=H)) is None
    assert "of the class that it overrides" in str(reason_against("vendor", cell))
