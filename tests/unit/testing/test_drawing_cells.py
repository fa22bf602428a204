"""A cell that draws random numbers in training can keep its contract; else it is told why not."""

from dataclasses import replace

import pytest
import torch

from rnnexp.registry import Registry
from rnnexp.testing import CELL_CHECKS, CellSubject, Finding, examine
from rnnexp.testing.checks import BrokenError

from .faulty import NoNumber, Sound

CHECKS = {check.name: check for check in CELL_CHECKS}
SHORT = [check for check in CELL_CHECKS if not check.is_long]


class Zoneout(Sound):
    """A unit that keeps its past at random.

    h_t = d * h_{t-1} + (1 - d) * tanh(W x_t + R h_{t-1})
    """

    def update(self, wx_BGH, rh_BGH, state):
        (new_BH,) = super().update(wx_BGH, rh_BGH, state)
        return (state[0] + self.renewed(new_BH) * (new_BH - state[0]),)

    def renewed(self, new_BH):
        return torch.bernoulli(torch.full_like(new_BH, 0.9)) if self.training else 0.9


class DrawsAlways(Zoneout):
    def renewed(self, new_BH):
        return (torch.rand_like(new_BH) > 1e-9).to(new_BH)


class CountsInTraining(Zoneout):
    calls = 0

    def renewed(self, new_BH):
        self.calls += 1
        return super().renewed(new_BH) * self.calls


class OwnGenerator(Zoneout):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.own = torch.Generator().manual_seed(0)

    def renewed(self, new_BH):
        return torch.rand(new_BH.shape, generator=self.own, dtype=new_BH.dtype)


class FixedTypeInTraining(Zoneout):
    def renewed(self, new_BH):
        return torch.rand(new_BH.shape, dtype=torch.float64) if self.training else 0.5


class FixedDeviceInTraining(Zoneout):
    def renewed(self, new_BH):
        mask_BH = torch.rand(new_BH.shape, dtype=new_BH.dtype) if self.training else None
        return 0.5 if mask_BH is None else mask_BH


class NoGradient(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        a = (wx_BGH + rh_BGH).squeeze(-2)
        return (torch.where(a > 0, torch.sqrt(a), 0.0),)


def subject(plugins: Registry, cls: type) -> CellSubject:
    entry = plugins.get("cell", "elman")
    return CellSubject(replace(entry, name=cls.__name__.lower(), cls=cls))


def findings(plugins: Registry, cls: type, *names: str) -> list[Finding]:
    return list(examine(subject(plugins, cls), [CHECKS[name] for name in names]))


def fault(plugins: Registry, cls: type, name: str) -> BrokenError:
    (finding,) = findings(plugins, cls, name)
    assert finding.broken is not None
    return finding.broken


def test_one_that_draws_in_training_alone_passes(plugins: Registry) -> None:
    found = list(examine(subject(plugins, Zoneout), SHORT))
    assert [finding for finding in found if finding.status == "fails"] == []
    (remark,) = [finding.remark for finding in found if finding.name == "stateless"]
    assert remark == "it draws in training, run by loop; what follows is asked in evaluation"


def test_one_that_draws_in_evaluation_is_told(plugins: Registry) -> None:
    broken = fault(plugins, DrawsAlways, "stateless")
    assert broken.expected == "a step that draws no random numbers in evaluation"
    assert "`if self.training`" in broken.look


@pytest.mark.parametrize("cls", [CountsInTraining, OwnGenerator])
def test_what_is_kept_between_calls_is_found_beside_draws(plugins: Registry, cls: type) -> None:
    broken = fault(plugins, cls, "stateless")
    assert broken.expected == "the same output from the same call"


@pytest.mark.parametrize(
    ("name", "cls"), [("shapes", FixedTypeInTraining), ("device", FixedDeviceInTraining)]
)
def test_what_is_drawn_is_of_the_right_kind(plugins: Registry, name: str, cls: type) -> None:
    assert fault(plugins, cls, name)


@pytest.mark.parametrize(
    ("cls", "expected"),
    [(NoNumber, "finite outputs over"), (NoGradient, "finite dL/d(inputs) over")],
)
def test_nan_is_called_so_and_nothing_else_is(plugins: Registry, cls: type, expected: str) -> None:
    found = list(examine(subject(plugins, cls), SHORT[1:]))  # all but its docstring
    (failing,) = [finding for finding in found if finding.status == "fails"]
    assert failing.broken.expected.startswith(expected)
    assert failing.broken.seen == "NaN"
