"""A sweep whose jobs end as a test says, with no process of theirs."""

from typing import Literal

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.folder import COMPLETE
from rnnexp.app.sweep.items import Item
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.tracking.outcome import Outcome

from ...unforwarded import Unforwarded


def opened(jobs: int) -> Sweep:
    words = [f"seed={','.join(map(str, range(jobs)))}", "sweep.name=mine"]
    prepare(words)
    checked = check_jobs(words, multirun=True, config_dir=None)
    sweep = Sweep(checked, words, Unforwarded("sqlite:///x.db", None), {})
    sweep.open()
    return sweep


def end(item: Item, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
    item.folder.mkdir(parents=True, exist_ok=True)
    Outcome(item.name, str(item.folder), status, error=None if status == "FINISHED" else "").write()
    if status == "FINISHED":
        (item.folder / COMPLETE).touch()
