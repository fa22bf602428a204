"""What runs in a worker of Ray; imports no Ray, and nothing heavy before the job does."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from hydra_plugins.rnnexp_local_launcher._output import run_logged


def work_on_ray(
    work: Callable[[], int], log: Path, folder: Path, environment: Mapping[str, str]
) -> int:
    """Do a job's work in the folder that its command was given in.

    Args:
        work: returns the exit code.
        log: takes what it prints.
        folder: shared by all machines of the cluster.
        environment: to be set before torch is imported.
    """
    os.chdir(folder)
    os.environ.update(environment)
    return run_logged(work, log)
