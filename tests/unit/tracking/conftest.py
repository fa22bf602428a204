"""A real sqlite store of MLflow's, as ours and as MLflow's own client see it."""

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.tracking.mlflow_store import MlflowStore


@pytest.fixture
def store(store_uri: str) -> MlflowStore:
    """The store of the test."""
    return MlflowStore(store_uri)


@pytest.fixture
def client(store_uri: str) -> MlflowClient:
    """MLflow's client of the same store."""
    return MlflowClient(store_uri)
