"""A run made again, or gone on with, adds up in the same order: with as many threads as before."""

from pathlib import Path

import pytest
import torch

from rnnexp.app.commands import rerun
from rnnexp.app.config.build import Plan
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.folder import Frozen
from rnnexp.app.run.run import run
from rnnexp.app.run.threads import THREADS_TAG, take_threads_of, threads_of
from rnnexp.tracking import Journals, RunHeader, RunRecord, load_run
from rnnexp.training.interrupt import StopRequest

WORDS = ["cell=lstm", "cell.hidden_size=64", "task.length=40", "trainer.max_steps=2"]
WORDS += ["task.val_batches=1", "task.test_batches=1", "monitor.pictures=never"]
WORDS += ["trainer.progress=none", "tracking.wait=0"]
WORDS += ["flush_denormal=false"]  # it would stay so in this process


def plan_of(*words: str) -> Plan:
    prepare([])
    return check_jobs([*WORDS, *words], multirun=False, config_dir=None)[0].plan


class Unstored(Journals):
    """Keeps journals, and forwards them to no store."""

    def close(self, timeout: float) -> list[Path]:
        del timeout
        return []


def test_a_rerun_takes_the_threads_of_the_run(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rerun, "Tracking", Unstored)
    store, plan = Journals("sqlite:///no.db", None), plan_of()
    figures: list[object] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        folder = workdir / f"threads{threads}"
        assert run(plan, folder, store, StopRequest(), tags={}).status == "FINISHED"
        assert load_run(folder).tags[THREADS_TAG] == str(threads)
        figures.append(load_run(folder).metrics["grad/raw_norm"])
        torch.set_num_threads(3 - threads)
        assert rerun.main("rerun", [str(folder)]) == 0
        assert torch.get_num_threads() == threads
        assert "The same figures as before, to the last bit:" in capsys.readouterr().out
    assert figures[0] != figures[1], "the threads make no difference: the test shows nothing"


def test_threads_that_differ_are_named_beside_versions() -> None:
    old, new = ({"version.torch": "2", THREADS_TAG: threads} for threads in ("1", "2"))
    one = RunRecord(tags=old, metrics={"train/loss": [(1, 0.5)]})
    other = RunRecord(tags=new, metrics={"train/loss": [(1, 0.25)]})
    assert rerun.compared(one, other).endswith(" threads 1 then, 2 now.")


def test_each_process_of_a_run_has_its_share(tmp_path: Path) -> None:
    torch.set_num_threads(4)
    two = plan_of("trainer.devices=2", "trainer.strategy=ddp")
    assert threads_of(plan_of(), tmp_path) == 4
    assert threads_of(plan_of("threads=3"), tmp_path) == 3
    assert threads_of(two, tmp_path) == 2
    Frozen({}, {}, "", None, 4).write(tmp_path)
    assert threads_of(two, tmp_path) == 4


def test_an_old_job_of_a_sweep_has_them_in_its_file(tmp_path: Path) -> None:
    Journals("", None).open_run(tmp_path, RunHeader("a", "b", {}, {})).end("FINISHED")
    take_threads_of(tmp_path, plan_of())
    before = torch.get_num_threads()
    Frozen({}, {}, "", None, before + 1).write(tmp_path)
    take_threads_of(tmp_path, plan_of())
    assert torch.get_num_threads() == before + 1
