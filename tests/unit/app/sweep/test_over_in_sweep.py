"""A sweep that is gone on with tries the configs of those jobs that are left."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rnnexp.app.config import compose
from rnnexp.app.config.build import Plan
from rnnexp.app.config.compose import Job, check_jobs, prepare
from rnnexp.app.config.identity import job_key
from rnnexp.app.config.validate import validate
from rnnexp.app.jobs.folder import COMPLETE, SWEEPS
from rnnexp.app.sweep.items import over_in_sweep
from rnnexp.errors import ConfigError
from rnnexp.tracking.outcome import Outcome

SWEEP = ["seed=0,1", "cell=lstm,lru", "sweep.name=mine"]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Seed and cell of each config that was tried."""
    found: list[tuple[int, str]] = []

    def trying(values: dict[str, Any], *, here: bool) -> Plan:
        found.append((values["seed"], values["cell"]["name"]))
        return validate(values, here=here)

    monkeypatch.setattr(compose, "validate", trying)
    return found


def checked(words: Sequence[str]) -> list[Job]:
    prepare(words)
    return check_jobs(words, True, None, is_over=over_in_sweep(words))


def finish(jobs: Sequence[Job]) -> None:
    for job in jobs:
        folder = SWEEPS / "mine" / job_key(job.plan.values)
        folder.mkdir(parents=True)
        Outcome("a", str(folder), status="FINISHED").write()
        (folder / COMPLETE).touch()


def test_what_is_over_is_not_tried_again(workdir: Path, tried: list[tuple[int, str]]) -> None:
    before = checked(SWEEP)
    assert len(tried) == len(before) == 4
    finish(before[:3])
    tried.clear()
    after = checked(SWEEP)
    assert tried == [(0, "lstm"), (1, "lru")], "the first, and what is left"
    for then, now in zip(before, after, strict=True):
        assert now.overrides == then.overrides
        assert now.plan.values == then.plan.values
        assert (now.plan.pattern, now.plan.feedback) == (then.plan.pattern, then.plan.feedback)


def test_of_another_sweep_or_config_all_are_tried(
    workdir: Path, tried: list[tuple[int, str]]
) -> None:
    finish(checked(SWEEP))
    tried.clear()
    checked([*SWEEP[:2], "sweep.name=other"])
    assert len(tried) == 4
    tried.clear()
    checked([*SWEEP, "optimizer.lr=0.5"])
    assert len(tried) == 4


def test_what_all_have_in_common_is_refused_where_all_are_over(workdir: Path) -> None:
    finish(checked(SWEEP))
    with pytest.raises(ConfigError, match=r"sweep\.timeout: must be a finite number above 0"):
        checked([*SWEEP, "sweep.timeout=-1"])


def test_of_a_job_whose_summary_is_gone_the_config_is_tried(
    workdir: Path, tried: list[tuple[int, str]]
) -> None:
    jobs = checked(SWEEP)
    finish(jobs)
    (SWEEPS / "mine" / job_key(jobs[2].plan.values) / "summary.json").unlink()
    tried.clear()
    checked(SWEEP)
    assert tried == [(0, "lstm"), (1, "lstm")]
