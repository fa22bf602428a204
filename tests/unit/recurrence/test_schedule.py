"""Scheduled sampling: the share of targets over training."""

import math

import pytest

from rnnexp.recurrence import Schedule


def test_each_form_is_its_equation() -> None:
    assert Schedule("constant", 0.3).share(10**9) == 0.3
    linear = Schedule("linear", 1.0, floor=0.2, steps=100)
    assert [linear.share(i) for i in (0, 25, 80, 500)] == pytest.approx([1.0, 0.75, 0.2, 0.2])
    assert Schedule("exponential", 0.8, steps=10).share(10) == pytest.approx(0.8 / math.e)
    # k / (k + exp(i / k)): at i = k ln k the share is one half.
    k = 50.0
    assert Schedule("inverse_sigmoid", steps=k).share(round(k * math.log(k))) == pytest.approx(
        0.5, abs=0.01
    )


@pytest.mark.parametrize("kind", ["linear", "exponential", "inverse_sigmoid"])
def test_the_share_falls_and_stays_a_probability(kind) -> None:
    schedule = Schedule(kind, 0.9, floor=0.0, steps=30)
    shares = [schedule.share(step) for step in (0, 1, 10, 100, 1000, 10**6, 10**12)]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share <= 0.9 for share in shares)
    assert shares[-1] < 1e-6
