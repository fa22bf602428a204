"""Which runs of a sweep are the same job."""

import hashlib
from pathlib import Path

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.data_files import file_digests
from rnnexp.app.config.identity import identity, job_key
from rnnexp.app.config.sources import digests
from rnnexp.tracking import config_hash


def keys(*words: str) -> list[str]:
    prepare(words)
    return [job_key(job.plan.values) for job in check_jobs(words, multirun=True, config_dir=None)]


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
    assert job_key(plan.values) == config_hash(made_of)


def test_a_file_that_an_option_names_is_part_of_the_job(workdir: Path) -> None:
    text = workdir / "corpus.txt"
    text.write_text("abc " * 9000)
    words = ("task=char_lm", "task.path=corpus.txt")
    (before,) = keys(*words)
    assert keys(*words) == [before]
    (plan,) = (job.plan for job in check_jobs(words, multirun=False, config_dir=None))
    assert digests(plan.values)["task.path"] == hashlib.sha256(text.read_bytes()).hexdigest()
    text.write_text("abd " * 9000)
    assert keys(*words) != [before]


def test_only_files_are_looked_into(workdir: Path) -> None:
    (workdir / "adding").write_text("named like the task")
    (workdir / "folder").mkdir()
    options = {"name": "adding", "a": "folder", "b": "gone.txt", "c": "x\0y", "d": "", "e": 3}
    options["f"] = "~nobody_of_this_name/a.txt"
    assert file_digests({"task": options, "trainer": {"name": "adding"}}) == {}
    several = {"task": {"paths": ["gone", "adding"], "more": {"deep": "adding"}}}
    assert set(file_digests(several)) == {"task.paths.1", "task.more.deep"}
