"""From Hydra's overrides to a search, and its results."""

import fcntl
import json
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals

from hydra_plugins.rnnexp_local_launcher._pool import MakePool
from hydra_plugins.rnnexp_optuna_sweeper._settings import Settings, settings_of
from hydra_plugins.rnnexp_optuna_sweeper._space import Dimension, SearchError, split
from hydra_plugins.rnnexp_optuna_sweeper._trials import HydraTrials, Trials

if TYPE_CHECKING:
    from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher
    from hydra_plugins.rnnexp_optuna_sweeper.optuna_sweeper import OptunaSweeper

Asked = tuple[Settings, list[str], list[Dimension]]


def check(options: Mapping[str, Any], arguments: Sequence[str]) -> Asked:
    """Read what is asked for, without beginning it.

    Args:
        options: of the sweeper.
        arguments: overrides, without those of Hydra itself.

    Returns:
        How to search, the overrides of all trials, and what is searched.

    Raises:
        SearchError: it cannot be made, in words.
    """
    if find_spec("optuna") is None:
        raise SearchError(
            "hydra/sweeper=optuna needs Optuna, which is not installed: pip install rnnexp[optuna]"
        )
    settings = settings_of(options)
    hydra = GlobalHydra.instance()  # it knows the choices of a group, for glob(*)
    parser = OverridesParser.create(hydra.config_loader() if hydra.is_initialized() else None)
    given = parser.parse_overrides(list(arguments))
    keys = {override.get_key_element() for override in given}
    params = [f"{key}={value}" for key, value in options["params"].items() if key not in keys]
    fixed, space = split([*parser.parse_overrides(params), *given])
    if settings.sampler == "cmaes" and find_spec("cmaes") is None:
        raise SearchError("sampler=cmaes needs the package cmaes: pip install rnnexp[optuna]")
    if settings.sampler == "grid":
        points = math.prod(len(dimension.points()) for dimension in space)
        settings = replace(settings, trials=min(points, settings.trials))
    return settings, fixed, space


def search(sweeper: "OptunaSweeper", arguments: Sequence[str]) -> dict[str, Any]:
    """Search: run trials, a few at once, until there are as many as are wanted.

    A task function with a method ``search_trials(settings, config)`` makes and judges its own
    trials; any other function is forked, once per trial.

    Returns:
        The best trials.
    """
    setup_globals()
    settings, fixed, space = check(sweeper.options, arguments)
    assert sweeper.config is not None
    assert sweeper.task_function is not None
    launcher = _launcher(sweeper)
    folder = Path(str(sweeper.config.hydra.sweep.dir))
    folder.mkdir(parents=True, exist_ok=True)
    with launcher.pools() as make:
        trials = _trials(sweeper, launcher, settings)
        settings = replace(settings, objectives=trials.objectives)
        with _held(folder):
            return _run(make, trials, (settings, fixed, space), folder)


def _trials(sweeper: "OptunaSweeper", launcher: "LocalLauncher", settings: Settings) -> Trials:
    own = getattr(sweeper.task_function, "search_trials", None)
    if own is not None:
        return own(settings, sweeper.config)
    kind = type(launcher).__name__
    if kind != "LocalLauncher":
        raise SearchError(
            f"{kind} runs the trials of programs whose task function has a method search_trials, "
            "which makes tasks that can be pickled; hydra/launcher=local runs those of any."
        )
    return HydraTrials(launcher, settings.objectives, settings.trials)


def _run(make: MakePool, trials: Trials, asked: Asked, folder: Path) -> dict[str, Any]:
    from hydra_plugins.rnnexp_optuna_sweeper import _driver, _results, _study

    settings, fixed, space = asked
    study = _study.open_study(settings, space, folder, trials.outdated)
    if getattr(trials, "retry_failed", False):
        _study.enqueue_failed(study)
    left = _study.left(study.get_trials(deepcopy=False), settings.trials)
    driver = _driver.Driver(study, settings, fixed, space, trials, left)
    first = driver.supply()
    if first is not None:
        pool = driver.pool = make([first], driver, trials.limits)
        pool.supply = driver.supply
        pool.run([first])
    results = _results.results_of(study)
    file = folder / "search.json"
    file.write_text(json.dumps(results, indent=1), encoding="utf-8")
    trials.close(_results.in_words(study), [file, *_results.draw(study, folder)])
    if not results["best"] and isinstance(trials, HydraTrials):  # others judge for themselves
        raise SearchError(f"No trial has returned finite numbers. What they print is in {folder}.")
    return results


def _launcher(sweeper: "OptunaSweeper") -> "LocalLauncher":
    assert sweeper.hydra_context is not None
    assert sweeper.task_function is not None
    assert sweeper.config is not None
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=sweeper.hydra_context,
        task_function=sweeper.task_function,
        config=sweeper.config,
    )
    # By name: Hydra executes the files of plugins once more, which makes another class of each.
    check_launcher(type(launcher).__name__, getattr(launcher, "options", {}))
    return cast("LocalLauncher", launcher)


def check_launcher(name: str, options: Mapping[str, Any]) -> None:
    """Refuse launchers that cannot start trials one by one.

    Args:
        name: of its class, with or without its module.
        options: of the launcher.

    Raises:
        SearchError: says which launcher can; or that a queue is not told how many at once.
    """
    kind = name.rpartition(".")[2]
    if kind not in _ONE_BY_ONE:
        raise SearchError(
            f"hydra/sweeper=optuna starts its trials one by one, which {kind} cannot: it waits for "
            "whole batches. Use hydra/launcher=local, ray, submitit_slurm or submitit_local."
        )
    if kind == "SubmititSlurmLauncher" and not options.get("jobs"):
        raise SearchError(
            "hydra.launcher.jobs: a search learns from the trials that have ended, so that not all "
            "are queued from the start. Say how many at once, such as hydra.launcher.jobs=8."
        )


_ONE_BY_ONE = ("LocalLauncher", "RayLauncher", "SubmititLocalLauncher", "SubmititSlurmLauncher")


@contextmanager
def _held(folder: Path) -> Generator[None]:
    # A lock of the process, which its children do not inherit and which ends with it.
    with (folder / ".search.lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SearchError(f"Another process searches in {folder} already.") from error
        yield
