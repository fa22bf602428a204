"""Records that lose nothing and cost nothing: a journal per run, forwarded to MLflow beside it.

Imports neither torch nor MLflow nor Lightning; `rnnexp.tracking.logger` has the Lightning logger.
"""

from rnnexp.tracking.courier import Courier
from rnnexp.tracking.lookup import (
    LATEST,
    RunRecord,
    add_artifacts,
    check_store,
    find_run,
    load_run,
    store_of,
    sync,
)
from rnnexp.tracking.provenance import config_hash, is_outside_identity, provenance
from rnnexp.tracking.records import RunHeader, Status
from rnnexp.tracking.service import Journals, RunLog, Tracking, close_journal, delivered
from rnnexp.tracking.sqlite_points import experiments_in, sweeps_in
from rnnexp.tracking.views import Comparison

__all__ = [
    "LATEST",
    "Comparison",
    "Courier",
    "Journals",
    "RunHeader",
    "RunLog",
    "RunRecord",
    "Status",
    "Tracking",
    "add_artifacts",
    "check_store",
    "close_journal",
    "config_hash",
    "delivered",
    "experiments_in",
    "find_run",
    "is_outside_identity",
    "load_run",
    "provenance",
    "store_of",
    "sweeps_in",
    "sync",
]
