"""Each check of the contract of a callback finds the fault that it is for."""

import pytest
from pytorch_lightning import Callback

from rnnexp.registry import Registry
from rnnexp.testing import CALLBACK_CHECKS, CallbackSubject, Finding, examine


class Quiet(Callback):
    """Log nothing.

    Args:
        every: steps between two records.
    """

    def __init__(self, *, every: int = 1) -> None:
        self.every = every


class NoSentence(Callback):
    """nothing"""


class NoLine(Quiet):
    """Log nothing."""

    def __init__(self, *, least: float = 0.0) -> None:
        self.least = least


class NoCallback:
    """Stand alone."""


class Refuses(Quiet):
    """Log nothing."""

    def __init__(self) -> None:
        raise ValueError("every must be above 1")


class ChangesItsOptions(Callback):
    """Log some keys.

    Args:
        keys: which.
    """

    def __init__(self, *, keys: list[str] = ["loss"]) -> None:  # noqa: B006
        keys.append("accuracy")


class Needs(Callback):
    """Log one key.

    Args:
        key: which.
    """

    def __init__(self, *, key: str) -> None:
        self.key = key


def findings(cls: type) -> list[Finding]:
    registry = Registry()
    registry.add("callback", "it", cls)
    subject = CallbackSubject(registry.get("callback", "it"))
    return list(examine(subject, CALLBACK_CHECKS))


def statuses(cls: type) -> dict[str, str]:
    return {finding.name: finding.status for finding in findings(cls)}


@pytest.mark.parametrize(
    ("cls", "failing"),
    [
        (Quiet, set()),
        (NoSentence, {"words"}),
        (NoLine, {"words"}),
        (NoCallback, {"class"}),
        (Refuses, {"made"}),
        (ChangesItsOptions, {"made"}),
    ],
)
def test_the_fault_is_found_by_its_own_check(cls: type, failing: set[str]) -> None:
    assert {name for name, status in statuses(cls).items() if status == "fails"} == failing


def test_one_that_needs_an_option_is_not_made() -> None:
    assert statuses(Needs) == {"words": "ok", "class": "ok", "made": "skipped"}
    made = findings(Needs)[-1]
    assert made.remark == "it has no default for key: a run must say +callbacks.it.key=VALUE"
