"""A Lightning logger over a run's journal."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from rnnexp.tracking.service import RunLog


class JournalLogger(Logger):
    """Hand what Lightning logs to the journal; the app, not Lightning, ends the run.

    Args:
        log: the run's record.
    """

    def __init__(self, log: RunLog) -> None:
        super().__init__()
        self._log = log

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self._log.folder.name

    @property
    def version(self) -> str:
        """Lightning asks for one; a run folder has none."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._log.folder)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures; Lightning's own epoch counter is not one."""
        values = {key: float(value) for key, value in metrics.items() if key != "epoch"}
        if values:
            self._log.metrics(values, step or 0)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Ignore: the config is logged when the run is opened."""
