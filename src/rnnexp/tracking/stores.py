"""The stores that one command delivers to."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnexp.tracking.mlflow_store import MlflowStore


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
