"""The file of Optuna's study, which a kill or a full disk may have torn."""

from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from hydra_plugins.rnnexp_optuna_sweeper._space import SearchError


class UnwritableError(SearchError):
    """The file takes no more, as on a full disk."""


class StudyFile(JournalFileBackend):
    """Optuna's journal in a file that this process alone writes to.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        mend(path)
        # Of a process that was killed: the folder is held by this one.
        Path(f"{path}.lock").unlink(missing_ok=True)
        super().__init__(str(path), JournalFileOpenLock(str(path)))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records.

        Raises:
            UnwritableError: the file cannot be written; it ends in a whole line as before.
        """
        try:
            super().append_logs(logs)
        except OSError as error:
            mend(self._path)
            raise UnwritableError(
                f"{self._path} cannot be written: {error.strerror}. The search ends; what its "
                "trials have come to is kept. Free some space, and give the same command again."
            ) from error


def mend(file: Path) -> None:
    """Cut off a last line that a kill or a full disk has torn: Optuna reads no such file."""
    if not file.is_file():
        return
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with file.open("r+b") as opened:
            opened.truncate(whole)
