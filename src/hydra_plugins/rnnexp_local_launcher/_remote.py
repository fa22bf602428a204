"""What launchers share whose jobs run elsewhere."""

from collections.abc import Callable
from typing import Any

from hydra_plugins.rnnexp_local_launcher._processes import LauncherError
from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher


def own_tasks(launcher: LocalLauncher, name: str) -> Callable[..., Any]:
    """Return the method by which a task function makes its tasks.

    Raises:
        LauncherError: it has none; only a copy of this process could run its jobs.
    """
    assert launcher.config is not None
    own = getattr(launcher.task_function, "sweep_tasks", None)
    if own is None:
        raise LauncherError(
            f"hydra/launcher={name} runs programs whose task function has a method sweep_tasks, "
            "which makes tasks that can be pickled; hydra/launcher=local runs any."
        )
    return own
