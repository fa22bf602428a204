"""The memory of native runs that later runs use again."""

from collections import deque

import pytest
import torch
from torch import Tensor

from rnnexp.recurrence.native import workspace
from rnnexp.recurrence.native.workspace import Workspace, copy_of

SIZE = 1000


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> deque[Tensor]:
    empty = deque[Tensor](maxlen=workspace._KEPT)
    monkeypatch.setattr(workspace, "_free", empty)
    return empty


def test_released_memory_is_used_again() -> None:
    first = Workspace(SIZE, torch.float32)
    address = first.address
    first.release()
    assert Workspace(SIZE + 1, torch.float32).address != address
    assert Workspace(SIZE, torch.float32).address == address


def test_memory_from_inference_can_be_written_outside_of_it() -> None:
    with torch.inference_mode():
        first = Workspace(SIZE, torch.float32)
        address = first.address
        first.release()
    again = copy_of(torch.ones(SIZE))
    assert again.address == address
    assert again.held().sum() == SIZE
    assert not again.held().is_inference()


def test_memory_that_others_hold_is_not_lent(free: deque[Tensor]) -> None:
    Workspace(SIZE, torch.float32, pooled=False).release()
    assert not free


def test_no_more_is_kept_than_may_be(free: deque[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_MOST_BYTES", 3 * SIZE * 4)
    held = [Workspace(SIZE, torch.float32) for _ in range(5)]
    addresses = [piece.address for piece in held]
    for piece in held:
        piece.release()
    assert [numbers.data_ptr() for numbers in free] == addresses[2:]
    Workspace(4 * SIZE, torch.float32).release()
    assert not free
