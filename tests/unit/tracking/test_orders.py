"""What a sink is told by its owner, a line at a time."""

import json
from pathlib import Path

import pytest

from rnnexp.tracking import sink


def test_an_owner_that_dies_within_a_line_is_gone() -> None:
    orphan = sink.Sink("shelf")
    with pytest.raises(json.JSONDecodeError):
        orphan.listen(iter(['{"folder": "a"}\n', '{"fol']))
    assert orphan.orphaned.is_set()
    assert orphan._folders.get_nowait() == Path("a")
