"""Which runs of a sweep are the same job."""

from pathlib import Path

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.identity import identity, job_key
from rnnexp.app.config.sources import digests
from rnnexp.tracking import config_hash


def keys(*words: str) -> list[str]:
    prepare(words)
    return [job_key(job.plan) for job in check_jobs(words, multirun=True, config_dir=None)]


def test_jobs_that_start_from_other_weights_are_others(workdir: Path) -> None:
    for name in ("a", "b"):
        (workdir / f"{name}.ckpt").write_text(name)
    (workdir / "copy.ckpt").write_text("a")
    a, b, copy, cold = keys("resume=a.ckpt,b.ckpt,copy.ckpt,null")
    assert len({a, b, cold}) == 3
    assert copy == a
    (workdir / "a.ckpt").write_text("trained further")
    assert keys("resume=a.ckpt") != [a]


def test_the_key_without_a_file_is_of_config_and_sources(workdir: Path) -> None:
    prepare([])
    plan = check_jobs([], multirun=False, config_dir=None)[0].plan
    made_of = {"config": identity(plan.values), "sources": digests(plan.values)}
    assert job_key(plan) == config_hash(made_of)
