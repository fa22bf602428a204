"""The shell that Hydra sees; it is imported at every start of every Hydra program."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from hydra_plugins.rnnexp_local_launcher._pool import MakePool


class LocalLauncher(Launcher):
    """Run each job in a process of its own; the arguments are those of `LocalLauncherConf`."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.config: DictConfig | None = None
        self.task_function: TaskFunction | None = None
        self.hydra_context: HydraContext | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what the jobs need."""
        self.config = config
        self.hydra_context = hydra_context
        self.task_function = task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs and wait for all of them."""
        from hydra_plugins.rnnexp_local_launcher._core import launch

        return launch(self, job_overrides, initial_job_idx)

    def pools(self) -> AbstractContextManager["MakePool"]:
        """Hold what the jobs run on; a sweeper may start them one by one on it."""
        from hydra_plugins.rnnexp_local_launcher._core import pools

        return pools(self)
