from pathlib import Path

import torch

from rnnexp.tracking import RunHeader, RunLog, load_run
from rnnexp.tracking.logger import JournalLogger


def test_lightning_figures_reach_the_journal(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run", RunHeader("n", "e", {}, {}), "sqlite:///x.db", None)
    logger = JournalLogger(log)
    logger.log_metrics({"loss": torch.tensor(0.5), "epoch": 3}, step=2)
    logger.log_metrics({"epoch": 4}, step=3)
    logger.log_metrics({"other": 1.0})
    logger.log_hyperparams({"lr": 0.1})
    logger.finalize("success")
    log.end("FINISHED")
    run = load_run(tmp_path / "run")
    assert run.metrics == {"loss": [(2, 0.5)], "other": [(0, 1.0)]}
    assert (logger.name, logger.version) == ("run", "")
    assert logger.save_dir == str(tmp_path / "run")
    assert run.status == "FINISHED"
