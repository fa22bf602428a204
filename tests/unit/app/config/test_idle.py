"""What a command sets and no run of it would use."""

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.errors import ConfigError


def check(words: str) -> int:
    overrides = words.split()
    prepare(overrides)
    return len(check_jobs(overrides, multirun="," in words, config_dir=None))


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("clip=none,norm clip.max_norm=5", 2),
        ("omega=none,paper omega.weight=3", 2),
        ("model.layers=1,2 model.dropout=0.5", 2),
        ("model.dropout=0", 1),
        ("clip=none clip.max_norm=null", 1),
        ("task=char_lm model.feedback=output unroll=scheduled unroll.teacher_share=0.9", 1),
        ("task.length=20,60 unroll.checkpoint_every=30", 2),
        ("task.length=20 unroll.checkpoint_every=null", 1),
    ],
)
def test_what_one_of_the_runs_uses_is_taken(words: str, runs: int) -> None:
    assert check(words) == runs


def test_what_a_preset_sets_is_its_own_affair() -> None:
    assert check("experiment=vanishing omega=none") > 0


SCHEDULED = "task=char_lm model.feedback=output unroll=scheduled"


@pytest.mark.parametrize(
    "words",
    [
        "clip=none,value clip.max_norm=5",
        "omega.weight=3,4",
        "task=char_lm model.feedback=output unroll.teacher_share=0",
        "monitor.max_rollbacks=0",
        f"{SCHEDULED} unroll.teacher_floor=0.2",
        f"{SCHEDULED} unroll.teacher_schedule=constant unroll.teacher_steps=9",
    ],
)
def test_what_none_of_them_uses_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="has no effect under"):
        check(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("task.length=20,30 unroll.checkpoint_every=30", "where 20 steps are unrolled at a time"),
        ("task.length=60 unroll.window=25 unroll.checkpoint_every=25", "fewer, best 5"),
        (f"{SCHEDULED} unroll.checkpoint_every=5", "under unroll.feed=scheduled, which runs step"),
    ],
)
def test_checkpoints_that_cut_nothing_are_refused(words: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"unroll.checkpoint_every=\d+ has no effect .*{said}"):
        check(words)


LINEAR = f"{SCHEDULED} unroll.teacher_schedule=linear unroll.teacher_share=0.2"


def test_a_schedule_that_would_fall_upwards_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"teacher_floor=0.5 is above unroll.teacher_share=0.2"):
        check(f"{LINEAR} unroll.teacher_floor=0.5")
    assert check(f"{LINEAR} unroll.teacher_floor=0.2") == 1
