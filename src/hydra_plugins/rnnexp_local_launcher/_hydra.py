"""The jobs of any Hydra program: copies of its process, which leave what they return in a file."""

import copy
import os
import pickle
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from hydra_plugins.rnnexp_local_launcher._processes import Task

if TYPE_CHECKING:
    from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher


@dataclass
class HydraTask:
    """A job of any Hydra program, run in a copy of its process.

    Args:
        function: the program's.
        context: Hydra's.
        config: of this job, with the node ``hydra``.
        overrides: of this job, those of Hydra itself among them.
        folder: its output folder, which other jobs may share.
        number: which of the sweep it is.
    """

    function: TaskFunction
    context: HydraContext
    config: DictConfig
    overrides: list[str]
    folder: Path
    number: int
    command: list[str] | None = None
    portable: None = None
    ending: Ended | None = None

    @property
    def name(self) -> str:
        """Its overrides."""
        return " ".join(self.overrides)

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / f"log_{self.number}.txt"

    def run(self) -> int:
        """Run it as Hydra would, and keep what Hydra makes of it."""
        self._keep(JobReturn())  # what an earlier job has left does not count any more
        torch = sys.modules.get("torch")
        if torch is not None:  # it has read the environment before this job's was set
            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        done = run_job(
            hydra_context=self.context,
            task_function=self.function,
            config=self.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        self._keep(done)
        _ = done.return_value  # raises what the function has raised
        return 0

    def left(self) -> JobReturn | None:
        """Read what a job of these overrides has left at its end; None where there is none."""
        overrides, done = self._read()
        return done if overrides == self.overrides and done.status != JobStatus.UNKNOWN else None

    def result(self) -> JobReturn:
        """Read what it has left, as `run_job` returns it; a job that left nothing has failed."""
        done, ending = self.left(), self.ending
        if ending is None:
            return self._failed("was not started")
        if done is None or ending.succeeded != (done.status == JobStatus.COMPLETED):
            return self._failed(str(ending))
        if done.status == JobStatus.FAILED:
            done._return_value.add_note(f"see {self.log}")  # pyright: ignore[reportPrivateUsage]
        return done

    @property
    def is_of_others(self) -> bool:
        """Whether a job of other overrides has had its number in its folder."""
        overrides, _ = self._read()
        return overrides is not None and overrides != self.overrides

    def _failed(self, how: str) -> JobReturn:
        config = copy.deepcopy(self.config)
        with read_write(config), open_dict(config):
            del config["hydra"]
        failed = JobReturn(list(self.config.hydra.overrides.task), config, status=JobStatus.FAILED)
        failed.hydra_cfg = OmegaConf.masked_copy(self.config, "hydra")
        failed.return_value = RuntimeError(f"{self.name}: {how}; see {self.log}")
        return failed

    def _keep(self, done: JobReturn) -> None:
        content = to_bytes((self.overrides, done))
        if content is None:
            rest = (self.overrides, _without_value(done))
            content = to_bytes(rest) or pickle.dumps(rest)  # which says why it cannot
        self._file.write_bytes(content)

    def _read(self) -> tuple[list[str] | None, JobReturn]:
        try:
            overrides, done = pickle.loads(self._file.read_bytes())
        except Exception:  # there is none, or it is torn, or of a class that is no more
            return None, JobReturn()
        return overrides, done

    @property
    def _file(self) -> Path:
        return self.folder / f"result_{self.number}.pkl"


def to_bytes(left: object) -> bytes | None:
    """Pickle, by cloudpickle what pickle alone cannot; None for what does not come back."""
    ways = [pickle.dumps]
    with suppress(ImportError):
        ways.append(import_module("cloudpickle").dumps)
    for dumps in ways:
        with suppress(Exception):  # whatever its own methods raise
            content = dumps(left)
            pickle.loads(content)
            return content
    return None


def _without_value(done: JobReturn) -> JobReturn:
    value = done._return_value  # pyright: ignore[reportPrivateUsage]  # not raised here
    kind = type(value).__name__
    if done.status == JobStatus.FAILED:
        return replace(done, _return_value=RuntimeError(f"{kind}: {value}"))
    print(
        f"rnnexp: what the function has returned, of type {kind}, cannot be pickled: the launcher "
        "hands back None.",
        file=sys.stderr,
    )
    return replace(done, _return_value=None)


def hydra_task(launcher: "LocalLauncher", overrides: list[str], number: int) -> HydraTask:
    """Make the task of a job of a program that knows nothing of this launcher."""
    assert launcher.config is not None
    assert launcher.hydra_context is not None
    assert launcher.task_function is not None
    loader = launcher.hydra_context.config_loader
    config = loader.load_sweep_config(launcher.config, overrides)
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
    function, context = launcher.task_function, launcher.hydra_context
    return HydraTask(function, context, config, overrides, _folder(config), number)


def _folder(config: DictConfig) -> Path:
    known = HydraConfig.instance()
    before = known.cfg
    known.set_config(config)  # its name may ask for ${hydra:job.num}
    try:
        # Absolute, since the function may change the working directory.
        return Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).absolute()
    finally:
        known.cfg = before


class Lines:
    """Say in plain lines what happens."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    def started(self, task: Task) -> None:
        """Say nothing: the end tells more."""

    def ended(self, ended: Ended) -> bool:
        """Say how a job ended."""
        task = ended.task
        if isinstance(task, HydraTask):
            task.ending = ended
        self.say(task, str(ended))
        return ended.succeeded

    def say(self, task: Task, how: str) -> None:
        """Say how a job ended, and count it."""
        self.done += 1
        print(f"[{self.done}/{self.total}] {task.name}: {how}", file=sys.stderr)

    def turn(self, running: Sequence[Task], waiting: int) -> None:
        """Say nothing."""
