import pytest

from rnnexp.recurrence import Feed


def test_the_three_ways() -> None:
    assert (Feed.teacher().mode, Feed.teacher().teacher_share) == ("teacher", 1.0)
    assert (Feed.free().mode, Feed.free().teacher_share) == ("free", 0.0)
    assert Feed.scheduled(0.3) == Feed("scheduled", 0.3)
    assert Feed() == Feed.teacher()


def test_feed_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Feed.free().mode = "teacher"  # type: ignore[misc]
