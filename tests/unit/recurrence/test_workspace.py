import pytest
import torch

from rnnexp.recurrence import unroll, workspace
from rnnexp.recurrence.backends import reason_against
from rnnexp.recurrence.workspace import buffer
from rnnexp.registry import Registry

LIKE = torch.zeros((), dtype=torch.float32)
SHAPE = (3, 1 << 20)


@pytest.fixture(autouse=True)
def _empty_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_SHELF", workspace._Shelf())


def test_memory_is_used_again_once_nobody_holds_it() -> None:
    first = buffer(LIKE, SHAPE)
    place, row = first.data_ptr(), first[1]
    del first
    second = buffer(LIKE, SHAPE)
    assert second.data_ptr() != place, "a view still holds it"
    del row
    assert buffer(LIKE, (1 << 20, 3)).data_ptr() == place


def test_old_shapes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_KEPT", 2)
    for rows in range(2, 9):
        buffer(LIKE, (rows, 1 << 20))
    assert [size >> 20 for _, size, _ in workspace._SHELF.buffers] == [7, 8]


def test_no_more_than_so_many_bytes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_MOST_BYTES", 40 << 20)
    for rows in range(2, 9):
        buffer(LIKE, (rows, 1 << 20))
    assert [kept.nbytes >> 20 for *_, kept in workspace._SHELF.buffers] == [32]


def test_native_runs_use_it_again_and_share_the_bound_with_others(
    plugins: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = plugins.get("cell", "lstm").cls(3, hidden_size=32)
    if (reason := reason_against("native", cell)) is not None:
        pytest.skip(reason)
    places: list[set[int]] = []
    for backend in ("native", "native", "pointwise"):
        unroll(cell, torch.randn(64, 16, 3), backend=backend).outputs_TBH.sum().backward()
        places.append({kept.data_ptr() for *_, kept in workspace._SHELF.buffers})
    assert places[0]
    assert places[1] == places[0] <= places[2]
    monkeypatch.setattr(workspace, "_MOST_BYTES", 1 << 20)
    unroll(cell, torch.randn(64, 32, 3), backend="native").outputs_TBH.sum().backward()
    assert sum(kept.nbytes for *_, kept in workspace._SHELF.buffers) <= 1 << 20


def test_who_holds_the_storage_alone_counts() -> None:
    storage = buffer(LIKE, SHAPE).untyped_storage()
    assert buffer(LIKE, SHAPE).data_ptr() != storage.data_ptr()


def test_what_another_process_may_hold_is_not_used_again() -> None:
    shared = buffer(LIKE, SHAPE).share_memory_()
    place = shared.data_ptr()
    del shared
    assert buffer(LIKE, SHAPE).data_ptr() != place


def test_two_holders_never_share() -> None:
    held = [buffer(LIKE, SHAPE) for _ in range(5)]
    assert len({tensor.data_ptr() for tensor in held}) == 5


def test_saved_tensors_hold_their_memory() -> None:
    leaf = torch.ones(SHAPE, requires_grad=True)
    saved = buffer(LIKE, SHAPE).fill_(3.0)
    product = leaf * saved
    del saved
    buffer(LIKE, SHAPE).fill_(5.0)
    product.sum().backward()
    assert leaf.grad is not None
    assert (leaf.grad == 3.0).all()


def test_small_tensors_and_other_types_are_new() -> None:
    assert buffer(LIKE, (2, 3)).shape == (2, 3)
    double = buffer(LIKE.double(), SHAPE)
    assert double.dtype == torch.float64
    assert double.shape == SHAPE


def test_memory_from_inference_can_be_written_outside_of_it() -> None:
    with torch.inference_mode():
        place = buffer(torch.zeros(()), SHAPE).data_ptr()
    again = buffer(LIKE, SHAPE)
    assert again.data_ptr() == place
    assert not again.fill_(1.0).is_inference()
