"""The shell that Hydra sees; it is imported at every start of every Hydra program."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn

from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher


class RayLauncher(LocalLauncher):
    """Run each job as a Ray task; the arguments are those of `RayLauncherConf`."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs and wait for all of them."""
        from hydra_plugins.rnnexp_ray_launcher._core import launch

        return launch(self, job_overrides, initial_job_idx)
