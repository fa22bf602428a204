"""A ``resume=`` that cannot work is refused, and the run that was named stays as it was."""

import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from rnnexp.__main__ import run as command
from rnnexp.app.config.command_line import key_value
from rnnexp.app.config.compose import check_jobs
from rnnexp.app.jobs.folder import Frozen
from rnnexp.app.jobs.lease import FILE, acquire
from rnnexp.app.run.alone import alone_in, check_free
from rnnexp.app.run.going_on import check_resumes
from rnnexp.app.run.resume import locate, with_earlier_overrides
from rnnexp.app.run.run import run
from rnnexp.errors import ConfigError
from rnnexp.files import CURSOR, JOURNAL, RUN
from rnnexp.tracking import Journals, read_back
from rnnexp.tracking.files import write_json
from rnnexp.tracking.journal import read_all
from rnnexp.training.interrupt import StopRequest

from .earlier_run import WORDS


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


REFUSED = {
    "resume=run cell=gru": "cell.name was elman in this run, and is gru now. A run that goes on",
    "resume=run cell.hidden_size=32": "cell.hidden_size was 4 in this run, and is 32 now.",
    "resume=run seed=7": "seed was 0 in this run, and is 7 now.",
    "resume=run optimizer.lr=0.5": "optimizer.lr was",
    "resume=run task=copy_memory": "task.name was adding in this run",
    "-m resume=run seed=0,1": "one run cannot go on as several. Leave out -m",
    "-m resume=run,run": "one run cannot go on as several. Leave out -m",
    "resume=run/checkpoints/last.ckpt cell=elman": "last.ckpt holds another network",
    "resume=run/config.yaml": "run/config.yaml is no checkpoint, or a damaged one.",
    "resume=half.ckpt": "half.ckpt is no checkpoint, or a damaged one.",
    "resume=weights.ckpt": "weights.ckpt is no checkpoint, or a damaged one.",
    "resume=code.ckpt": "code.ckpt is no checkpoint, or a damaged one.",
    "resume=": "resume=: it names nothing.",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_go_on_is_refused(
    words: str, earlier: Path, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = (earlier / "checkpoints" / "last.ckpt").read_bytes()
    (workdir / "half.ckpt").write_bytes(last[: len(last) // 2])
    torch.save({"state_dict": {}}, workdir / "weights.ckpt")
    torch.save({"code": Path}, workdir / "code.ckpt")
    before = contents(workdir)
    assert command(["train", *words.split()]) == 2
    said = capsys.readouterr().err
    assert REFUSED[words] in said
    for words_of_torch in ("weights_only", "miniz", "size mismatch"):
        assert words_of_torch not in said
    assert contents(workdir) == before


def test_the_optimizer_of_a_file_is_not_another(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["resume=run/checkpoints/last.ckpt", *WORDS, "optimizer.lr=0.5", "seed=1"]
    assert command(["train", *words]) == 2
    said = capsys.readouterr().err
    assert "optimizer.lr was 0.002 when this checkpoint was written, and is 0.5 now." in said
    assert "Give optimizer.lr=0.002." in said


def test_a_run_without_a_checkpoint_is_told_how_it_begins_anew(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(earlier / "checkpoints")
    assert command(["train", "resume=run"]) == 2
    assert (
        "left no checkpoint in run. It begins anew by: rnnexp rerun run" in capsys.readouterr().err
    )


OFFERED = {
    "seed=7": ("Give seed=0, or leave seed= out.", True),
    "optimizer.lr=0.5": ("Give optimizer.lr=0.002, or leave optimizer.lr= out.", False),
    "cell.hidden_size=9": ("Give cell.hidden_size=4, or leave cell.hidden_size= out.", False),
    "cell=gru": ("Leave cell= out.", False),
    "seed=7 optimizer.lr=0.5": ("Give optimizer.lr=0.002, or leave", False),
}


@pytest.mark.parametrize("words", OFFERED)
def test_a_new_start_is_offered_where_it_would_be_taken(
    words: str, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advice, offered = OFFERED[words]
    assert command(["train", "resume=run", *words.split()]) == 2
    said = capsys.readouterr().err
    assert advice in said
    assert ("resume=run/checkpoints/last.ckpt" in said) == offered
    file = ["resume=run/checkpoints/last.ckpt", *WORDS, *words.split()]
    jobs = check_jobs(file, multirun=False, config_dir=None)
    with nullcontext() if offered else pytest.raises(ConfigError):
        check_resumes([job.plan for job in jobs], multirun=False)


def test_a_run_without_a_whole_checkpoint_offers_no_file(earlier: Path) -> None:
    for file in (earlier / "checkpoints").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    plan = check_jobs([*WORDS, "resume=run", "seed=7"], multirun=False, config_dir=None)[0].plan
    with pytest.raises(ConfigError, match=r"or leave seed= out\.$"):
        check_resumes([plan], multirun=False)


def test_a_plan_of_a_sweep_is_refused_alike(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["sweep", "plan", "resume=run", "seed=0,1"]) == 2
    assert "one run cannot go on as several" in capsys.readouterr().err


def test_a_job_of_a_sweep_names_what_goes_on_with_it(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = {"rnnexp.sweep.name": "S", "rnnexp.command": "rnnexp train -m seed=0,1"}
    words = "seed=1 sweep.name=S hydra.launcher.jobs=2 cell=gru"
    Frozen({}, {**tags, "rnnexp.overrides": words}, "", None, 1).write(earlier)
    assert command(["train", "resume=run"]) == 2
    said = capsys.readouterr().err
    assert "a job of the sweep S, and goes on by the sweep's command again: rnnexp train -m" in said
    assert "resume=run/checkpoints/last.ckpt seed=1 cell=gru" in said


def test_a_job_whose_file_is_gone_is_known_by_its_record(earlier: Path) -> None:
    command = "rnnexp train -m seed=0,1"
    start, *rest = (earlier / JOURNAL).read_text().splitlines(keepends=True)
    record = json.loads(start)
    record["tags"] |= {"rnnexp.sweep.name": "S", "rnnexp.command": command}
    (earlier / JOURNAL).write_text("".join([json.dumps(record), "\n", *rest]))
    plan = check_jobs([*WORDS, "resume=run"], multirun=False, config_dir=None)[0].plan
    with pytest.raises(ConfigError, match=f"a job of the sweep S, .* command again: {command}"):
        check_resumes([plan], multirun=False)


GIVEN_ANEW = {
    "cell=gru": "Give cell=elman.",
    "cell.hidden_size=9": "Give cell.hidden_size=4.",
    "optimizer=sgd": "Give optimizer= as it was.",
}


@pytest.mark.parametrize("word", GIVEN_ANEW)
def test_words_that_are_not_kept_are_to_be_given(earlier: Path, word: str) -> None:
    shutil.rmtree(earlier / ".hydra")
    words = with_earlier_overrides(["resume=run", *WORDS, word])
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    with pytest.raises(ConfigError) as refused:
        check_resumes([plan], multirun=False)
    assert GIVEN_ANEW[word] in str(refused.value)
    assert "out." not in str(refused.value)


@pytest.fixture
def held(earlier: Path) -> Iterator[Path]:
    """A run that this very process is at work on."""
    lease = acquire(earlier)
    assert lease is not None
    yield earlier
    lease.release()


HELD = {
    "of the run": ["resume=run"],
    "of its folder": ["hydra.run.dir=run", *WORDS],
}


@pytest.mark.parametrize("how", HELD)
def test_a_run_that_a_process_is_at_work_on_is_refused(
    how: str, held: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", list(sys.argv))  # Hydra wants its own
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    before = contents(held)
    assert command(["train", *HELD[how]]) == 2
    said = capsys.readouterr().err
    assert f"run: process {os.getpid()} on {platform.node()} is at work on this run" in said
    assert f"give the same command again, or stop it first: kill {os.getpid()} has it" in said
    ours = {name: text for name, text in contents(held).items() if not name.startswith(".hydra")}
    assert ours == {name: text for name, text in before.items() if not name.startswith(".hydra")}


def test_one_on_another_machine_is_free_when_it_is_silent(held: Path) -> None:
    lease = json.loads((held / FILE).read_text()) | {"host": "faraway"}
    write_json(held / FILE, lease)
    with pytest.raises(ConfigError, match=r"on faraway has it save .* is free 60 s after"):
        check_free(held)
    write_json(held / FILE, lease | {"beat": lease["beat"] - 61})
    check_free(held)
    with alone_in(held), pytest.raises(ConfigError, match="is at work on this run"):
        check_free(held)


GOES_ON = [
    ("resume=run", "trainer.max_steps=9", "clip=norm", "monitor=skip", "scheduler=cosine"),
    ("resume=run", "cell=elman", "tracking.experiment=other"),
    ("resume=run/checkpoints/last.ckpt", "seed=7", *WORDS),
]


@pytest.mark.parametrize("words", GOES_ON)
def test_what_can_go_on_passes(words: tuple[str, ...], earlier: Path) -> None:
    jobs = check_jobs(with_earlier_overrides(words), multirun=False, config_dir=None)
    check_resumes([job.plan for job in jobs], multirun=False)


def test_no_more_of_a_record_is_read_than_its_beginning(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_back, "read_all", lambda path, _: pytest.fail(f"{path} was read"))
    words = with_earlier_overrides(["resume=run"])
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    check_resumes([plan], multirun=False)


@pytest.mark.parametrize("run_id", ["84248e89", "00123456", "8424e8e9"])
def test_the_beginning_of_an_id_is_text(run_id: str, earlier: Path, workdir: Path) -> None:
    shutil.move(earlier, workdir / "outputs" / "run")
    write_json(workdir / "outputs" / "run" / RUN, {"run_id": run_id + "0" * 24})
    words = with_earlier_overrides([f"resume={run_id}"])
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    assert plan.values["resume"] == run_id
    assert plan.values["cell"]["name"] == "elman"
    check_resumes([plan], multirun=False)


def test_the_latest_run_goes_on_by_its_folder(earlier: Path, workdir: Path) -> None:
    shutil.move(earlier, workdir / "outputs" / "its")
    words = with_earlier_overrides(["trainer.max_steps=9", "resume=latest"])
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    assert plan.values["resume"] == "outputs/its", "another run will be the latest"
    assert plan.values["trainer"]["max_steps"] == 9
    assert plan.values["cell"]["name"] == "elman"
    check_resumes([plan], multirun=False)


def test_a_folder_of_any_name_goes_on(earlier: Path, workdir: Path) -> None:
    folder = Path(shutil.move(earlier, workdir / "w 6 ü, it's"))
    words = with_earlier_overrides(shlex.split(key_value("resume", folder)))
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    assert plan.values["resume"] == str(folder)
    check_resumes([plan], multirun=False)


def test_a_sweep_may_start_from_a_file(earlier: Path) -> None:
    words = ["resume=run/checkpoints/best.ckpt", *WORDS, "seed=0,1"]
    jobs = check_jobs(words, multirun=True, config_dir=None)
    assert len(jobs) == 2
    check_resumes([job.plan for job in jobs], multirun=True)
    damaged = earlier / "checkpoints" / "best.ckpt"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ConfigError, match=r"best\.ckpt is no checkpoint, or a damaged one"):
        check_resumes([job.plan for job in jobs], multirun=True)


def test_elsewhere_a_run_is_the_same_one_or_is_refused(earlier: Path, workdir: Path) -> None:
    plan = check_jobs([*WORDS, "resume=run"], multirun=False, config_dir=None)[0].plan
    journals = Journals("sqlite:///no.db", None)
    write_json(earlier / CURSOR, {"run_id": "abc"})
    (earlier / RUN).write_text("damaged")
    run(plan, workdir / "then", journals, StopRequest(), tags={}, origin=locate("run"))
    assert next(read_all(workdir / "then" / JOURNAL))["run_id"] == "abc"
    (earlier / CURSOR).write_text("damaged")
    with pytest.raises(ConfigError, match=r"run\.json is damaged: .* rnnexp sync \S*run; or leave"):
        run(plan, workdir / "other", journals, StopRequest(), tags={}, origin=locate("run"))
    assert not (workdir / "other").exists()
    outcome = run(plan, earlier, journals, StopRequest(), tags={}, origin=locate("run"))
    assert outcome.status == "FINISHED", "its journal knows which it is"
