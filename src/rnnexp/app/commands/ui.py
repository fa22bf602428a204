"""``rnnexp ui``: MLflow's own UI over the configured store."""

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnexp.app.commands.arguments import parser_of, port, set_by_default
from rnnexp.app.jobs.store import follow
from rnnexp.errors import ConfigError
from rnnexp.tracking import check_store, experiments_in, sweeps_in, viewed_at
from rnnexp.tracking.views import VIEW, SweepView

DEFAULT_URI = "sqlite:///mlflow.db"
_TRAINING = "workflowType=machine_learning"
"""MLflow's pages are those of language models unless asked for these: then runs come first."""
_MOST = 8
_QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes for judging language models
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Who asks for links sits before a terminal: MLflow's client would try for a quarter of an hour."""


def main(command: str, arguments: list[str]) -> int:
    """Become MLflow's server on 127.0.0.1, or print what a server elsewhere shows."""
    parser = parser_of(command, __doc__)
    parser.add_argument("uri", nargs="?", default=DEFAULT_URI, help="tracking.uri=URI or URI")
    parser.add_argument("--port", type=port, default=5000)
    args = parser.parse_args(arguments)
    uri = str(args.uri).removeprefix("tracking.uri=")
    if uri.startswith(("http://", "https://")):
        return _show_server(uri.rstrip("/"))
    file = _require_store(uri)
    follow(uri)
    print(f"MLflow's UI over {uri} (Ctrl-C ends it), once the server is up:")
    address, sweeps = f"http://127.0.0.1:{args.port}", sweeps_in(file, _MOST)
    for line in links(address, experiments_in(file), sweeps):
        print(line, flush=True)
    set_by_default(_QUIET)
    serve = ["mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--workers", "2"]
    os.execv(sys.executable, [sys.executable, "-m", *serve, "--port", str(args.port)])


def _show_server(address: str) -> int:
    set_by_default(_PATIENCE)
    experiments, sweeps = viewed_at(address, _MOST)
    print(f"The store is a server, with its UI at {address}:")
    print(*links(address, experiments, sweeps), sep="\n")
    return 0


def links(
    address: str,
    experiments: Mapping[str, tuple[str, bool]],
    sweeps: Sequence[SweepView] = (),
) -> list[str]:
    """Say where the runs of each experiment stand.

    Args:
        address: of the server.
        experiments: by name, the id, and whether there is a view of this program's on it.
        sweeps: those that have a view of their own.
    """
    if not experiments:
        return [f"  {address}/#/experiments?{_TRAINING}"]
    lines: list[str] = []
    for name, (number, viewed) in list(experiments.items())[:_MOST]:
        chosen = f"&viewStateShareKey={VIEW}" if viewed else ""
        lines.append(f"  {name}: {address}/#/experiments/{number}/runs?{_TRAINING}{chosen}")
    names = Counter(sweep.name for sweep in sweeps)
    for sweep in sweeps:
        page = f"{address}/#/experiments/{sweep.experiment}/runs?{_TRAINING}"
        whose = f" ({_origin(sweep)})" if names[sweep.name] > 1 else ""
        view = f"{page}&viewStateShareKey={sweep.run_id}"
        lines.append(f"  the runs of {sweep.name}{whose}, {sweep.order}: {view}")
    return lines


def _origin(sweep: SweepView) -> str:
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(sweep.begun / 1000))
    return f"{sweep.user}, {begun}" if sweep.user else begun


def _require_store(uri: str) -> Path:
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:") and not path.is_file():
        raise ConfigError(
            f"There is no store at {path.resolve()} yet. Run `rnnexp train` first, go to the "
            "folder where it ran, or give another: rnnexp ui tracking.uri=sqlite:///FILE"
        )
    check_store(uri)
    return path
