"""What Slurm says of a job, in texts of Slurm 22.05."""

from pathlib import Path

import pytest

from hydra_plugins.rnnexp_submitit_launcher._ledger import GONE
from hydra_plugins.rnnexp_submitit_launcher._slurm import Fate, fate_in, fate_of_this_job
from hydra_plugins.rnnexp_submitit_launcher._states import Accounts, Queued

SHOWN = "JobId=16 ArrayJobId=15 JobState={} Reason={} Requeue=1 Restarts={} BatchFlag=1"


@pytest.mark.parametrize(
    ("state", "reason", "restarts", "begun_again", "fate"),
    [
        ("RUNNING", "None", 0, 0, Fate.LOST),  # it has its time of grace
        ("COMPLETING", "None", 1, 0, Fate.QUEUED_AGAIN),
        ("PENDING", "BeginTime", 3, 2, Fate.QUEUED_AGAIN),
        ("COMPLETING", "None", 0, 0, Fate.ENDS),  # by scancel
        ("COMPLETING", "None", 2, 2, Fate.ENDS),
        ("COMPLETING", "TimeLimit", 0, 0, Fate.LOST),
    ],
)
def test_what_becomes_of_a_job(
    state: str, reason: str, restarts: int, begun_again: int, fate: Fate
) -> None:
    assert fate_in(SHOWN.format(state, reason, restarts), begun_again) is fate


@pytest.mark.parametrize("shown", ["", "slurm_load_jobs error: Invalid job id specified"])
def test_without_an_answer_it_ends(shown: str) -> None:
    assert fate_in(shown, 0) is Fate.ENDS


def test_an_allocation_that_the_command_runs_in_is_not_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "16")
    monkeypatch.delenv("SUBMITIT_EXECUTOR", raising=False)
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("PATH", "")
    assert fate_of_this_job() is Fate.ENDS
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    assert fate_of_this_job() is Fate.ENDS, "there is nobody to ask"


def test_a_task_with_the_id_of_its_array_is_not_taken_for_a_sibling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(
        "#!/bin/sh\n"
        "[ $4 = 15_1 ] || echo JobId=16 ArrayJobId=15 ArrayTaskId=0 JobState=RUNNING\n"
        "echo JobId=15 ArrayJobId=15 ArrayTaskId=1 JobState=COMPLETING Restarts=0\n"
    )
    scontrol.chmod(0o755)
    slurm = {"JOB_ID": "15", "ARRAY_JOB_ID": "15", "ARRAY_TASK_ID": "1"}
    own = {f"SLURM_{name}": value for name, value in slurm.items()}
    for name, value in (own | {"SUBMITIT_EXECUTOR": "slurm", "PATH": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    assert fate_of_this_job() is Fate.ENDS, "it is cancelled"


def test_a_job_that_the_queue_no_longer_lists_is_over() -> None:
    queue = Queued()
    queue._info_dict = {"28_0": {"State": "RUNNING"}, "28_1": {"State": "RUNNING"}}
    told = queue.read_info("28_0|RUNNING|vm\n28_[2-3%4]|PENDING|\n")
    states = {job: about["State"] for job, about in told.items()}
    assert states["28_0"] == "RUNNING"
    assert states["28_1"] == GONE
    assert states["28_2"] == states["28_3"] == "PENDING"
    queue._info_dict = told
    assert queue.read_info("")["28_0"] == {"State": GONE}
    assert queue.is_done("28_0", mode="cache") is False, "as long as the answer is not taken"


def test_nobody_is_asked_where_nothing_is_left() -> None:
    queue = Queued()
    assert queue._make_command() is None
    queue.register_job("28_0")
    command = queue._make_command()
    assert command is not None
    assert command[0] == "squeue"


@pytest.mark.parametrize("watcher", [Accounts, Queued])
@pytest.mark.parametrize(
    ("states", "done"),
    [
        ("PENDING CONFIGURING RUNNING SUSPENDED STOPPED SIGNALING RESIZING STAGE_OUT", False),
        ("COMPLETING REQUEUED REQUEUE_HOLD REQUEUE_FED SPECIAL_EXIT PREEMPTED", False),
        ("COMPLETED CANCELLED CANCELLED+ FAILED TIMEOUT DEADLINE OUT_OF_MEMORY", True),
        (f"NODE_FAIL BOOT_FAIL REVOKED {GONE}", True),
    ],
)
def test_a_job_is_over_in_its_final_states_only(
    watcher: type[Accounts], states: str, done: bool
) -> None:
    asked = watcher()
    for state in states.split():
        asked._info_dict = {"28_0": {"State": state}}
        assert asked.is_done("28_0", mode="cache") is done, state
    asked._info_dict = {"28_0": {"State": "CANCELLED by 1000"}}
    assert asked.is_done("28_0", mode="cache")
    assert not asked.is_done("28_1", mode="cache"), "nothing is known of it"
