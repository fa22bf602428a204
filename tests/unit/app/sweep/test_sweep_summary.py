"""The summary of a sweep holds once what its jobs have in common."""

import json
from pathlib import Path

from rnnexp.app.sweep.unwritten import write_summary
from rnnexp.tracking.outcome import Outcome

CONFIG = {f"task.key{number}": "a value" for number in range(100)}


def test_what_jobs_share_is_written_once(tmp_path: Path) -> None:
    configs = [{**CONFIG, "seed": str(seed)} for seed in range(50)]
    jobs = [Outcome(c["seed"], "folder", "FINISHED", config=c) for c in configs]
    file = write_summary(tmp_path, [*jobs, Outcome("refused", "folder", error="why")])
    assert file is not None
    text = file.read_text()
    assert text.count("task.key7") == 11, "key7, and key70 to key79"
    kept = json.loads(text)
    assert kept["shared"] == CONFIG
    *same, refused = kept["jobs"]
    assert [{**kept["shared"], **job["config"]} for job in same] == configs
    assert same[3]["status"] == "FINISHED"
    assert refused["config"] == {}
    assert jobs[0].config == configs[0], "what was written is a copy"


def test_a_key_that_some_jobs_lack_is_not_shared(tmp_path: Path) -> None:
    configs = [{"cell.name": "lstm", "cell.gate": "1"}, {"cell.name": "elman"}]
    file = write_summary(tmp_path, [Outcome("a", "b", config=config) for config in configs])
    assert file is not None
    kept = json.loads(file.read_text())
    assert (kept["shared"], [job["config"] for job in kept["jobs"]]) == ({}, configs)


def test_of_no_jobs_there_is_a_summary(tmp_path: Path) -> None:
    file = write_summary(tmp_path, [])
    assert file is not None
    assert json.loads(file.read_text()) == {"shared": {}, "jobs": []}
