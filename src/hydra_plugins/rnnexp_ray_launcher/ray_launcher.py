"""The shell that Hydra sees; it is imported at every start of every Hydra program."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn

from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher

if TYPE_CHECKING:
    from hydra_plugins.rnnexp_local_launcher._pool import MakePool


class RayLauncher(LocalLauncher):
    """Run each job as a Ray task; the arguments are those of `RayLauncherConf`."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs and wait for all of them."""
        from hydra_plugins.rnnexp_local_launcher._remote import launch_own

        return launch_own(self, "ray", job_overrides, initial_job_idx)

    def pools(self) -> AbstractContextManager["MakePool"]:
        """Hold the cluster."""
        from hydra_plugins.rnnexp_ray_launcher._core import pools

        return pools(self)
