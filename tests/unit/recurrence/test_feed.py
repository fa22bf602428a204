"""What is fed back, and what cannot be."""

import math
from typing import Any

import pytest
import torch

from rnnexp.errors import ConfigError
from rnnexp.recurrence import Feed, RecurrentNetwork
from rnnexp.registry import Registry


def test_the_three_ways() -> None:
    assert (Feed.teacher().mode, Feed.teacher().teacher_share) == ("teacher", 1.0)
    assert (Feed.free().mode, Feed.free().teacher_share) == ("free", 0.0)
    assert Feed.scheduled(0.3) == Feed("scheduled", 0.3)
    assert Feed() == Feed.teacher()


def test_feed_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Feed.free().mode = "teacher"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mode", "share", "said"),
    [
        ("techer", 0.0, r"feed=techer is unknown\. Did you mean 'teacher'\?"),
        ("scheduled", 3.0, r"teacher_share: must be in \[0, 1\], got 3\.0"),
        ("scheduled", math.nan, "must be in .* got nan"),
    ],
)
def test_what_is_no_way_of_feeding_is_refused(mode: Any, share: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Feed(mode, share)


@pytest.mark.parametrize("shape", [(9, 4, 2), (7, 1, 2), (7, 4, 1), (9, 1, 1), (7, 4)])
@pytest.mark.parametrize("feed", [Feed.teacher(), Feed.scheduled(0.5)])
def test_targets_are_shaped_as_the_outputs(
    plugins: Registry, feed: Feed, shape: tuple[int, ...]
) -> None:
    make_cell = plugins.get("cell", "gru").cls
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=5), 3, 2, feedback=True)
    inputs_TBI, targets_TBO = torch.randn(7, 4, 3), torch.randn(shape)
    with pytest.raises(ConfigError, match=r"targets_TBO: expected shape \(7, 4, 2\), .* got"):
        network(inputs_TBI, targets_TBO=targets_TBO, feed=feed)
    network(inputs_TBI, targets_TBO=targets_TBO, feed=Feed.free())
