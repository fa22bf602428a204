"""Launcher and search under Hydra programs that know nothing of rnnexp: what they hand back."""

import json
import pickle
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
import hydra
from hydra.core.plugins import Plugins
from hydra_plugins.rnnexp_optuna_sweeper.report import report

class Strict(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} {second}")

RETURNED = {"none": None, "word": "abc", "hole": float("nan"), "endless": float("inf")}

@hydra.main(version_base="1.3", config_path=None)
def main(config):
    print("x is", config.x)
    how = config.get("how", "value")
    if how == "raises":
        raise ValueError("no", config.x)
    if how == "strict":
        raise Strict(1, 2)
    if how == "lambda":
        return lambda: config.x
    if how == "generator":
        return (i for i in range(3))
    if how == "leaves":
        os._exit(0)
    if how == "elsewhere":
        os.chdir("/")
    if how == "killed":
        os.kill(os.getpid(), 9)
    if how == "reports":
        report(1, config.x)
    return RETURNED.get(how, config.x)

def shown(done):
    try:
        value = done.return_value
        value = value() if callable(value) else value
    except BaseException as error:
        value = repr(error)
    configs = [sorted(c) for c in (done.cfg, done.hydra_cfg)]
    return [str(value), str(done.status), done.overrides, configs, done.working_dir, done.task_name]

def telling(self, **given):
    launcher = instantiate(self, **given)
    launch = launcher.launch

    def launched(*words, **named):
        done = launch(*words, **named)
        print("DONE", *map(shown, done), sep="\\n")
        return done

    launcher.launch = launched
    return launcher

instantiate, Plugins.instantiate_launcher = Plugins.instantiate_launcher, telling
main()
"""
LOCAL = ["program.py", "-m", "hydra/launcher=local", "hydra.sweep.dir=out"]
SEARCH = [*LOCAL, "hydra/sweeper=optuna", "hydra.sweeper.sampler=grid"]


@pytest.fixture(autouse=True)
def _program(workdir: Path) -> None:
    (workdir / "program.py").write_text(PROGRAM)


def returned(out: str) -> list[str]:
    return out.partition("DONE\n")[2].splitlines()


def values(out: str) -> list[str]:
    return [line.partition("'")[2].partition("'")[0] for line in returned(out)]


def searched(workdir: Path) -> list[list[float] | None]:
    trials = json.loads((workdir / "out" / "search.json").read_text())["trials"]
    return [trial["values"] for trial in trials]


@pytest.mark.parametrize("how", ["value", "raises", "lambda"])
def test_a_launch_hands_back_what_that_of_hydra_does(copied, workdir: Path, how: str) -> None:
    words = ["+x=1,2", f"+how={how}"]
    ours = copied(*LOCAL, *words, cwd=workdir)
    theirs = copied(*LOCAL, *words, "hydra/launcher=basic", cwd=workdir)
    assert ours.code == theirs.code == (how == "raises")
    assert len(returned(ours.out)) == 2
    assert returned(ours.out) == returned(theirs.out)
    if how == "raises":
        assert "ValueError: ('no', 1)" in ours.err
        assert f"see {workdir / 'out' / '0' / 'log_0.txt'}" in ours.err


@pytest.mark.slow
def test_what_cannot_be_pickled_is_stood_in_for(copied, workdir: Path) -> None:
    done = copied(*LOCAL, "+x=1", "+how=generator", cwd=workdir)
    assert done.code == 0, done.err
    assert values(done.out) == ["None"]
    log = (workdir / "out" / "0" / "log_0.txt").read_text()
    assert "of type generator, cannot be pickled: the launcher hands back None" in log
    raised = copied(*LOCAL, "+x=1", "+how=strict", cwd=workdir)
    assert "RuntimeError: Strict: 1 2" in raised.err


@pytest.mark.slow
def test_a_job_that_leaves_nothing_has_failed(copied, workdir: Path) -> None:
    assert copied(*LOCAL, "+x=1", cwd=workdir).code == 0
    for how, said in (("leaves", "exit code 0"), ("killed", "killed by SIGKILL")):
        done = copied(*LOCAL, "+x=1", f"+how={how}", cwd=workdir)
        assert done.code == 1
        assert f"RuntimeError: +x=1 +how={how}: {said}" in done.err
        _, left = pickle.loads((workdir / "out" / "0" / "result_0.pkl").read_bytes())
        assert left.status.name == "UNKNOWN", "that of the earlier job is gone"


@pytest.mark.parametrize(
    "subdir", [".", "${hydra:job.num}", "${hydra:job.override_dirname}", "${hydra.job.id}"]
)
def test_each_job_has_its_own_value_whatever_its_folder(copied, workdir: Path, subdir: str) -> None:
    done = copied(*LOCAL, "+x=1,2,3", f"hydra.sweep.subdir={subdir}", cwd=workdir)
    assert done.code == 0, done.err
    assert values(done.out) == ["1", "2", "3"]
    logs = {path.name: path.read_text() for path in (workdir / "out").rglob("log_*.txt")}
    assert logs == {f"log_{n}.txt": f"x is {n + 1}\n" for n in range(3)}


def test_a_job_may_change_its_working_folder(copied, workdir: Path) -> None:
    done = copied(*LOCAL, "+x=1", "+how=elsewhere", cwd=workdir)
    assert done.code == 0, done.err
    assert values(done.out) == ["1"]


@pytest.mark.slow
def test_no_job_after_the_first_failure_is_taken_for_an_earlier_one(copied, workdir: Path) -> None:
    assert copied(*LOCAL, "+x=1,2", cwd=workdir).code == 0
    words = ["+x=1,2", "hydra.launcher.jobs=1", "hydra.launcher.fail_fast=true", "+how=raises"]
    done = copied(*LOCAL, *words, cwd=workdir)
    assert "+x=2 +how=raises: was not started" in done.out


def test_a_trial_takes_only_the_value_of_a_job_like_it(copied, workdir: Path) -> None:
    assert copied(*LOCAL, "+how=reports", "+x=10,2", cwd=workdir).code == 0
    done = copied(*SEARCH, "+how=reports", "+x=1,2", "hydra.sweeper.pruner=median", cwd=workdir)
    assert done.code == 0, done.err
    assert searched(workdir) == [[1.0], [2.0]]
    assert "[2/2]" in done.err
    assert "+x=2: was done before" in done.err
    reports = [(workdir / "out" / str(n) / f"reports_{n}.jsonl").read_text() for n in range(2)]
    assert [len(text.splitlines()) for text in reports] == [1, 1], "none are a stranger's"
    trials = json.loads((workdir / "out" / "search.json").read_text())["trials"]
    assert [trial["reports"] for trial in trials] == [1, 0]


def test_trials_may_share_a_folder(copied, workdir: Path) -> None:
    words = ["+x=1,2,3", "+how=reports", "hydra.sweeper.pruner=median", "hydra.sweep.subdir=."]
    done = copied(*SEARCH, *words, cwd=workdir)
    assert done.code == 0, done.err
    assert searched(workdir) == [[1.0], [2.0], [3.0]]
    trials = json.loads((workdir / "out" / "search.json").read_text())["trials"]
    assert [trial["reports"] for trial in trials] == [1, 1, 1]


def test_a_trial_that_returns_no_number_fails_and_ends_no_other(copied, workdir: Path) -> None:
    done = copied(*SEARCH, "+x=1,2", "+how=value,none,word,hole,endless,leaves", cwd=workdir)
    assert done.code == 0, done.err
    assert sorted(v[0] for v in searched(workdir) if v) == [1.0, 2.0]
    for shown in ("+how=none: failed: it returned None", "+how=word: failed: it returned 'abc'"):
        assert f"+x=1 {shown}, and a search takes finite numbers" in done.err
    assert "failed: it returned nan" in done.err
    assert "failed: it returned inf" in done.err
    assert "+how=leaves: failed" in done.err
    assert "[12/12]" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raises", "hole"])
def test_a_search_without_any_success_says_so_and_fails(copied, workdir: Path, how: str) -> None:
    for _ in range(2):
        done = copied(*SEARCH, "+x=1,2", f"+how={how}", cwd=workdir)
        assert done.code == 1
        assert "No trial has returned finite numbers. What they print is in out" in done.err
        assert "Traceback" not in done.err


WARM = """
import torch, sys
torch.set_num_threads(2)
if "--warm" in sys.argv:
    sys.argv.remove("--warm")
    torch.ones(2**20).exp_()

import hydra
from hydra_plugins.rnnexp_local_launcher import _copies
_copies.TRY_SECONDS = 1.0

@hydra.main(version_base="1.3", config_path=None)
def main(config):
    torch.ones(2**20).exp_()
    print("threads", torch.get_num_threads())

main()
"""


@pytest.mark.slow
def test_threads_of_torch_that_was_imported_before(copied, workdir: Path) -> None:
    (workdir / "program.py").write_text(WARM)
    for threads, words in ((1, ["--warm"]), (2, [])):
        done = copied(*LOCAL, *words, f"hydra.launcher.threads={threads}", "+x=1", cwd=workdir)
        assert done.code == 0, done.err
        log = workdir / "out" / "0" / "log_0.txt"
        assert log.read_text() == f"threads {threads}\n"
        log.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--warm", "hydra.launcher.threads=2"], "threads=2: torch has computed with several"),
        (["hydra.launcher.start=spawn"], "start=spawn: the jobs of a task function without"),
    ],
)
def test_what_would_hang_or_cannot_be_is_refused(copied, workdir: Path, words, said: str) -> None:
    (workdir / "program.py").write_text(WARM)
    done = copied(*LOCAL, *words, "+x=1", cwd=workdir, timeout=20)
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (workdir / "out" / "0").exists()


def test_a_program_that_reports_runs_alone_too(copied, workdir: Path) -> None:
    done = copied("program.py", "+x=1", "+how=reports", "hydra.run.dir=out", cwd=workdir)
    assert done.code == 0, done.err
    assert (workdir / "out" / "reports.jsonl").read_text() == '{"step": 1, "value": 1}\n'
