"""Stores: whether one can be used, whether it answers, and those that a command delivers to."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from rnnexp.errors import StoreError
from rnnexp.tracking.copied import check_place
from rnnexp.tracking.sqlite_points import DELETED, SQLITE, is_deleted, place_of

if TYPE_CHECKING:
    from rnnexp.tracking.mlflow_store import MlflowStore

_SERVERS = ("http://", "https://", "postgresql", "mysql", "mssql", "databricks")


class Stores(AbstractContextManager["Stores"]):
    """Stores by their URI: each is opened when it is first needed, and left at the block's end."""

    def __init__(self) -> None:
        self._open: dict[str, MlflowStore] = {}

    def at(self, uri: str) -> "MlflowStore":
        """Give the store of a URI; raises what its client does where it cannot be opened."""
        if uri not in self._open:
            from rnnexp.tracking.mlflow_store import MlflowStore  # seconds, and seldom needed

            self._open[uri] = MlflowStore(uri)
        return self._open[uri]

    def __exit__(self, *_: object) -> None:
        for store in self._open.values():
            store.close()
        self._open.clear()


def check_store(uri: str, experiment: str | None = None, root: Path | None = None) -> None:
    """Refuse a store that cannot be used, without asking the network.

    Args:
        uri: the store.
        experiment: the one that runs are to go to.
        root: folder for the artifacts of a new experiment.

    Raises:
        StoreError: unknown scheme, a file or a folder that cannot be written, or a deleted
            experiment in it.
    """
    if uri.startswith(_SERVERS):
        return
    if not uri.startswith(SQLITE):
        raise StoreError(
            f"tracking.uri={uri}: not a store MLflow can write to. "
            "Use sqlite:///FILE or the http address of an MLflow server."
        )
    path = Path(uri.removeprefix(SQLITE))
    target = path if path.exists() else path.parent
    if not target.exists():
        raise StoreError(f"tracking.uri={uri}: the folder {path.parent} does not exist. Create it.")
    if path.is_dir() or not os.access(target, os.W_OK):
        raise StoreError(f"tracking.uri={uri}: {target.resolve()} cannot be written.")
    if experiment is not None and is_deleted(path, experiment):
        raise StoreError(f"tracking.uri={uri}: {DELETED.format(experiment)}")
    if root is not None and place_of(path, experiment or "") in (None, root.as_uri()):
        check_place(uri, root)


def is_away(error: BaseException) -> bool:
    """Tell whether MLflow's client has failed because no server answered."""
    # MLflow's client wraps what its HTTP library raised in an error of its own.
    inner = error.__cause__ or error.__context__
    is_http = type(error).__module__.partition(".")[0] == "requests"
    return is_http or (inner is not None and is_away(inner))
