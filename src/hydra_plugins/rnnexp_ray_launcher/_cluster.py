"""The only file that knows Ray: a cluster, and a task on it."""

import os
import signal
import socket
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from hydra_plugins.rnnexp_local_launcher._core import THREADS
from hydra_plugins.rnnexp_local_launcher._processes import (
    LOST,
    LauncherError,
    Running,
    Start,
    Task,
    unheard,
)
from hydra_plugins.rnnexp_local_launcher._remote import Need, need_of, room_for
from hydra_plugins.rnnexp_ray_launcher._job import work_on_ray

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning at every job without a GPU
    "RAY_DEDUP_LOGS": "0",
    "RAY_enable_metrics_collection": "0",
}

_TOKEN = (
    ". A cluster with token authentication, which `ray start` turns on where it finds a token, "
    "wants the same token in ~/.ray/auth_token here, and RAY_AUTH_MODE=token in the environment."
)


class Cluster:
    """Ray, for the time of a sweep.

    Args:
        options: of `RayLauncherConf`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self._connected = False

    def connect(self) -> None:
        """Connect to the address, or start a cluster on this machine.

        Raises:
            LauncherError: nothing that speaks Ray answers, or Ray is not installed.
        """
        if self._connected:
            return
        address = self.options["address"]
        _knock(address, self.options["connect_seconds"])
        ray = _ray()
        own: dict[str, Any] = {} if address else _own_cluster(self.options)
        try:
            with _own_signals(), unheard(signal.SIGHUP):  # a terminal's, which is for the command
                ray.init(address or "local", logging_level="ERROR", log_to_driver=False, **own)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            hint = _TOKEN if address and os.environ.get("RAY_AUTH_MODE") != "token" else ""
            raise LauncherError(f"hydra.launcher.address={address}: {error}{hint}") from error
        self._connected = True

    def leave(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        if self._connected:
            self._connected = False
            _ray().shutdown()

    def need_of(self, task: Task) -> Need:
        """Say what a job takes."""
        has_gpus = any(machine.get("GPU") for machine in self._machines())
        return need_of(self.options, task, has_gpus)

    def room(self, tasks: Sequence[Task]) -> int:
        """Count how many jobs are handed over at once; Ray keeps those that find no room waiting.

        Raises:
            LauncherError: one fits on no machine.
        """
        needs = [self.need_of(task) for task in tasks]
        return room_for(self._machines(), needs, self.options["jobs"])

    def starting(self) -> Start:
        """Return what makes a Ray task of a task."""
        remote_for = cache(self._remote)

        def start(task: Task, slot: dict[str, str]) -> Running:
            need = self.need_of(task)
            threads = {name: str(need.threads) for name in THREADS}
            work = (task.portable, task.log.resolve(), Path.cwd(), {**threads, **slot})
            return RayTask(remote_for(need).remote(*work))

        return start

    def _remote(self, need: Need) -> Any:
        return _ray().remote(
            num_cpus=need.cpus,
            num_gpus=need.gpus,
            max_retries=int(self.options["retries"]),
            max_calls=1 if need.gpus else 0,  # a process that has used a GPU goes to no other
        )(work_on_ray)

    def _machines(self) -> list[Mapping[str, float]]:
        return [node["Resources"] for node in _ray().nodes() if node["Alive"]]


class RayTask:
    """A task that Ray has.

    Args:
        result: Ray's reference to its exit code.
    """

    def __init__(self, result: Any) -> None:
        self.result = result

    def poll(self) -> int | None:
        """Ask for the exit code; `LOST` where the workers were lost once too often."""
        ray = _ray()
        if not ray.wait([self.result], timeout=0)[0]:
            return None
        try:
            return int(ray.get(self.result))
        except ray.exceptions.TaskCancelledError:
            return 128 + signal.SIGTERM
        except ray.exceptions.OutOfMemoryError:  # Ray kills a worker before the system would
            return -signal.SIGKILL
        except ray.exceptions.RayError:
            return LOST

    def ask(self) -> None:
        """Have Ray interrupt it, which it hears as Ctrl-C; one that still waits never starts."""
        self._cancel(force=False)

    def kill(self) -> None:
        """Have Ray end its worker."""
        self._cancel(force=True)

    def _cancel(self, force: bool) -> None:
        ray = _ray()
        with suppress(ray.exceptions.RayError):
            ray.cancel(self.result, force=force)


def _ray() -> Any:
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    try:
        import ray
    except ImportError as error:
        raise LauncherError(
            "hydra/launcher=ray: Ray is not installed. Install it: pip install 'rnnexp[ray]'"
        ) from error
    return ray


@contextmanager
def _own_signals() -> Generator[None]:
    # Ray takes SIGTERM over: it prints a trace before it is handed on.
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _own_cluster(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "num_cpus": options["num_cpus"],
        "num_gpus": options["num_gpus"],
        "object_store_memory": int(options["object_store_mb"]) << 20,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",  # nobody else is let in
    }


def _knock(address: str | None, seconds: float) -> None:
    # Ray itself tries for a minute, in its own words.
    if address in (None, "auto", "local"):
        return
    assert address is not None
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except (OSError, ValueError) as error:
        raise LauncherError(
            f"hydra.launcher.address={address}: nothing answers there ({error}). Start a cluster "
            "(ray start --head), name its HOST:PORT, or leave the address out for one of your own."
        ) from error
