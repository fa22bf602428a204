"""Records that lose nothing and cost nothing: a journal per run, forwarded to MLflow beside it.

Imports neither torch nor MLflow nor Lightning; `rnnexp.tracking.logger` has the Lightning logger.
"""

from rnnexp.tracking.courier import Courier
from rnnexp.tracking.left_behind import (
    add_artifact,
    add_artifacts,
    close_journal,
    complete_in_files,
    sync,
)
from rnnexp.tracking.lookup import LATEST, find_run, key_of, store_of
from rnnexp.tracking.moved import follow_move, lies_beside
from rnnexp.tracking.provenance import config_hash, is_outside_identity, package_list, provenance
from rnnexp.tracking.read_back import RunRecord, head_of, load_run
from rnnexp.tracking.records import RunHeader, Status
from rnnexp.tracking.selection import (
    BEST,
    FREE,
    relative,
    selection_loss,
    selection_loss_of,
    usual_aim,
)
from rnnexp.tracking.server import viewed_at
from rnnexp.tracking.service import Journals, RunLog, Tracking, delivered
from rnnexp.tracking.sqlite_points import experiment_with, experiments_in, lost_from, sweeps_in
from rnnexp.tracking.stores import Stores, check_store
from rnnexp.tracking.views import Comparison
from rnnexp.tracking.walk import files_named

__all__ = [
    "BEST",
    "FREE",
    "LATEST",
    "Comparison",
    "Courier",
    "Journals",
    "RunHeader",
    "RunLog",
    "RunRecord",
    "Status",
    "Stores",
    "Tracking",
    "add_artifact",
    "add_artifacts",
    "check_store",
    "close_journal",
    "complete_in_files",
    "config_hash",
    "delivered",
    "experiment_with",
    "experiments_in",
    "files_named",
    "find_run",
    "follow_move",
    "head_of",
    "is_outside_identity",
    "key_of",
    "lies_beside",
    "load_run",
    "lost_from",
    "package_list",
    "provenance",
    "relative",
    "selection_loss",
    "selection_loss_of",
    "store_of",
    "sweeps_in",
    "sync",
    "usual_aim",
    "viewed_at",
]
