"""No checkpoint goes beyond what is on record."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.plugins.io import TorchCheckpointIO

from rnnexp.tracking import RunHeader, RunLog, load_run
from rnnexp.training.resume import RecordFirst

from ...quiet import QUIET


class Looking(TorchCheckpointIO):
    """Looks at the record at the moment at which the checkpoint is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[int, float]] = []

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, **options: Any) -> None:
        self.seen = load_run(self.folder).metrics.get("loss", [])


def test_the_record_is_on_disk_before_a_checkpoint(tmp_path: Path) -> None:
    log = RunLog(tmp_path, RunHeader("a-run", "study", {}, {}), "", None)
    looking = Looking(tmp_path)
    trainer = Trainer(
        logger=False,
        **QUIET,
        callbacks=[RecordFirst(log.flush)],
        plugins=[looking],
    )
    trainer.strategy.connect(BoringModel())
    log.metrics({"loss": 0.5}, 7)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert looking.seen == [(7, 0.5)]
    log.end("FINISHED")
