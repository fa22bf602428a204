"""What a method returns in a wrong form is said in words, and where."""

import pytest
import torch

from rnnexp.cells import Cell
from rnnexp.registry import Registry
from rnnexp.testing import examine

from .faulty import Sound
from .test_checks import CHECKS, subject_of


class General(Cell):
    """A unit with a step of its own."""

    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.weights = torch.nn.Linear(input_size + self.hidden_size, self.hidden_size)

    def initial_state(self, batch_shape):
        return (self.zeros(batch_shape),)

    def step(self, x_BI, state):
        h_BH = torch.tanh(self.weights(torch.cat([x_BI, state[0]], -1)))
        return h_BH, (h_BH,)


class UpdatesNothing(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        super().update(wx_BGH, rh_BGH, state)


class StepsNowhere(General):
    def step(self, x_BI, state):
        super().step(x_BI, state)


class OutputAlone(General):
    def step(self, x_BI, state):
        return super().step(x_BI, state)[0]


class StateAlone(General):
    def step(self, x_BI, state):
        return super().step(x_BI, state)[1][0], None


class BeginsWithATensor(General):
    def initial_state(self, batch_shape):
        return self.zeros(batch_shape)

    def step(self, x_BI, state):
        (h_BH,) = state
        return super().step(x_BI, (h_BH,))


class BeginsWithOneRow(General):
    def initial_state(self, batch_shape):
        return (self.zeros((1,)),)


class ThreeGates(Sound):
    num_gates = 3

    def update(self, wx_BGH, rh_BGH, state):
        z, n = (wx_BGH + rh_BGH).unbind(-2)
        return (z * n,)


class Doubles(General):
    def step(self, x_BI, state):
        h_BH, state = super().step(x_BI, state)
        return h_BH.double(), state


WORDS = [
    (UpdatesNothing, "state tensors from update; saw None, as from a method without `return`"),
    (StepsNowhere, "a pair from step.*saw None, as from a method without `return`"),
    (OutputAlone, r"a pair from step.*saw a Tensor.*return h_BH, \(h_BH,\)"),
    (StateAlone, "a tuple of state tensors from step; saw None"),
    (BeginsWithATensor, "a tuple of state tensors from initial_state; saw a Tensor"),
    (BeginsWithOneRow, r"shape \(3, \.\.\.\) from initial_state\(\(3,\)\); saw \(1, 4\)"),
    (ThreeGates, r"num_gates is 3, .* state tensors 1: which does .*test_returns\.py:\d+ take"),
    (Doubles, "saw .*float64. Keep the type of the weights"),
]


@pytest.mark.parametrize(("cls", "words"), WORDS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_wrong_return_is_said_in_words(plugins: Registry, cls: type, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        CHECKS["shapes"].run(subject_of(plugins, cls))


def test_an_output_of_one_type_and_another_shape_is_hinted_at_by_the_shape(
    plugins: Registry,
) -> None:
    class Turned(General):
        def step(self, x_BI, state):
            h_BH, state = super().step(x_BI, state)
            return h_BH.unsqueeze(0), state

    with pytest.raises(AssertionError, match="Select gates by unbind"):
        CHECKS["shapes"].run(subject_of(plugins, Turned))


def test_a_right_return_passes(plugins: Registry) -> None:
    (finding,) = examine(subject_of(plugins, General), [CHECKS["shapes"]])
    assert finding.status == "ok", finding.broken
