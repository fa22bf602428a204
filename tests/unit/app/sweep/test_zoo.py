"""The page of the zoo says what a guess costs on the very sequences of its runs."""

from pathlib import Path

import pytest
import yaml

from rnnexp.app.sweep.zoo import draw_zoo
from rnnexp.errors import ConfigError
from rnnexp.registry import Registry
from rnnexp.tracking import RunHeader
from rnnexp.tracking.outcome import Outcome
from rnnexp.tracking.service import RunLog

CONFIG = {
    "cell.name": "elman",
    "cell.hidden_size": "8",
    "task.length": "30",
    "trainer.max_steps": "600",
}


def run_of(folder: Path, task: dict[str, object]) -> Outcome:
    log = RunLog(folder, RunHeader("a", "b", {}, {}), "sqlite:///x.db", None)
    log.metrics({"val/loss": 0.1531}, 600)
    log.end("FINISHED")
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": 7, "task": task}))
    return Outcome("a", str(folder), "FINISHED", CONFIG)


def test_a_guess_is_measured_on_the_sequences_of_the_runs(
    plugins: Registry, tmp_path: Path
) -> None:
    run = run_of(tmp_path, {"name": "adding", "length": 30, "val_batches": 8})
    page = draw_zoo([run], tmp_path)[-1].read_text()
    assert "always answering 1, has 0.1558:" in page
    assert "0.1531" in page


def test_a_task_without_a_baseline_is_no_zoo(plugins: Registry, tmp_path: Path) -> None:
    run = run_of(tmp_path, {"name": "one_unit", "length": 30})
    with pytest.raises(ConfigError, match="task=one_unit names no baseline"):
        draw_zoo([run], tmp_path)
