"""The shells that Hydra sees; they are imported at every start of every Hydra program."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn

from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher

if TYPE_CHECKING:
    from hydra_plugins.rnnexp_local_launcher._pool import MakePool


class SubmititLocalLauncher(LocalLauncher):
    """Run jobs by submitit on this machine; the arguments are those of `SubmititLocalConf`."""

    cluster = "local"

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs and wait for all of them."""
        from hydra_plugins.rnnexp_local_launcher._remote import launch_own

        return launch_own(self, f"submitit_{self.cluster}", job_overrides, initial_job_idx)

    def pools(self) -> AbstractContextManager["MakePool"]:
        """Hold the queue."""
        from hydra_plugins.rnnexp_submitit_launcher._core import pools

        return pools(self, self.cluster)


class SubmititSlurmLauncher(SubmititLocalLauncher):
    """Run jobs by submitit under Slurm; the arguments are those of `SubmititSlurmConf`."""

    cluster = "slurm"
