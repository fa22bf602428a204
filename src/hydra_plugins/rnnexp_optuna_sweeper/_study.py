"""Optuna's study: opened, or gone on with, from a file that a kill may have torn."""

import inspect
import itertools
import platform
import sys
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from hydra_plugins.rnnexp_optuna_sweeper._file import StudyFile
from hydra_plugins.rnnexp_optuna_sweeper._settings import Settings, hint
from hydra_plugins.rnnexp_optuna_sweeper._space import Choice, Dimension, SearchError

FILE = "study.jsonl"
_OWNER, _HOST = "folder", "host"
"""Attributes of a study in a database: the folder whose search it is, and its machine."""
_SAMPLERS: dict[str, type[BaseSampler]] = {
    "tpe": TPESampler,
    "cmaes": CmaEsSampler,
    "random": RandomSampler,
    # Its points stand in the study beforehand. Optuna's own grid sampler ends a loop of Optuna's,
    # which a search whose trials are processes does not have.
    "grid": RandomSampler,
}
_PRUNERS: dict[str, type[BasePruner]] = {
    "none": NopPruner,
    "median": MedianPruner,
    "hyperband": HyperbandPruner,
}


def open_study(
    settings: Settings, space: Sequence[Dimension], folder: Path, outdated: str | None = None
) -> optuna.Study:
    """Open the study of a folder, or begin it.

    Args:
        settings: of the search.
        space: what is searched.
        folder: the search's, whose name the study has.
        outdated: why the trials of an earlier study do not count; None where they do.

    Raises:
        SearchError: an option of the sampler or pruner is unknown, an earlier search of the
            folder had other objectives, or the database has a search of another folder by its name.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with quiet():
        _sampler(settings, 0)  # refused before anything is written, as the pruner is
        pruner = _made(_PRUNERS[settings.pruner], settings.pruner_options, "pruner")
        study = _opened(settings, folder)
        if settings.storage is not None:
            _check_owner(study, settings.storage, folder)
        if outdated and study.get_trials(deepcopy=False):
            print(f"rnnexp: {_set_aside(study, outdated)}", file=sys.stderr)
            study = _opened(settings, folder)
        _check_objectives(study, settings)
        _check_space(study, distributions_of(space))
        study.sampler = _sampler(settings, len(study.trials))
        study.pruner = pruner
        if settings.storage is not None:
            _own(study, folder)
        study.set_metric_names(list(settings.objectives))
    if settings.sampler == "grid":
        _enqueue_grid(study, settings, space)
    return study


def _opened(settings: Settings, folder: Path) -> optuna.Study:
    storage = _storage(settings, folder)
    try:
        return optuna.load_study(study_name=folder.name, storage=storage)
    except KeyError:
        return optuna.create_study(
            storage=storage,
            study_name=folder.name,
            directions=list(settings.directions),  # type: ignore[arg-type]  # checked already
            load_if_exists=True,  # another process may have been quicker
        )


def _set_aside(study: optuna.Study, why: str) -> str:
    # To a sampler all trials of a study are of one function, and Optuna takes no trial out of it.
    name, storage = study.study_name, study._storage  # pyright: ignore[reportPrivateUsage]
    trials, taken = len(study.get_trials(deepcopy=False)), optuna.get_all_study_names(storage)
    kept = next(n for i in itertools.count(1) if (n := f"{name}-before-{i}") not in taken)
    optuna.copy_study(
        from_study_name=name, from_storage=storage, to_storage=storage, to_study_name=kept
    )
    optuna.delete_study(study_name=name, storage=storage)
    return (
        f"{name}: its trials so far ({trials}) {why}. They do not count, and are kept as the "
        f"study '{kept}': the search begins anew."
    )


@contextmanager
def quiet() -> Generator[None]:
    """Silence what Optuna, and Matplotlib for it, warns of whoever does as is done here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes")
        # Of an axis on which all trials are the same, as where only one has come to its end.
        warnings.filterwarnings("ignore", message="Attempting to set identical low and high")
        yield


def distributions_of(space: Sequence[Dimension]) -> dict[str, BaseDistribution]:
    """Put dimensions into Optuna's terms."""
    return {dimension.name: _distribution(dimension) for dimension in space}


def left(trials: Sequence[FrozenTrial], wanted: int) -> int:
    """Count the trials that are still to be suggested: those of a failed one's values come on top.

    Args:
        trials: of the study.
        wanted: how many there are to be.
    """
    suggested = [trial for trial in trials if trial.state != TrialState.WAITING]
    first = sum(not _makes_again(trial, trials) for trial in suggested)
    waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
    return max(0, wanted - first) + sum(_makes_again(trial, trials) for trial in waiting)


def enqueue_failed(study: optuna.Study) -> None:
    """Have the values of failed trials tried again, each once."""
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state == TrialState.FAIL and not _is_made_again(trial, trials):
            study.enqueue_trial(trial.params, skip_if_exists=False)


def _is_made_again(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    later = (t for t in trials if t.number > trial.number)
    return any(_values(t) == trial.params for t in later)


def _makes_again(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    # Suggested values may come again by themselves; those that were put into the study were chosen.
    chosen = trial.system_attrs.get("fixed_params")
    failed = (t for t in trials[: trial.number] if t.state == TrialState.FAIL)
    return chosen is not None and any(t.params == chosen for t in failed)


def _values(trial: FrozenTrial) -> dict[str, Any]:
    # One that waits has no values yet, but those that it will have.
    return trial.params or trial.system_attrs.get("fixed_params", {})


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.texts)
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    if dimension.whole:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def _storage(settings: Settings, folder: Path) -> BaseStorage:
    if settings.storage is not None:
        try:
            return RDBStorage(settings.storage)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise SearchError(
                f"hydra.sweeper.storage={settings.storage}: {type(error).__name__}: {reason}"
            ) from error
    return JournalStorage(StudyFile(folder / FILE))


def _sampler(settings: Settings, done: int) -> BaseSampler:
    options = dict(settings.sampler_options)
    if settings.seed is not None:
        # The state of its generator is not kept: the same seed would suggest the same once more.
        options.setdefault("seed", settings.seed + done)
    if settings.sampler == "cmaes":
        options.setdefault("warn_independent_sampling", False)
    return _made(_SAMPLERS[settings.sampler], options, "sampler")


def _made(cls: type[Any], options: Mapping[str, Any], what: str) -> Any:
    known = [name for name in inspect.signature(cls).parameters if name not in ("args", "kwargs")]
    for name in options:
        if name not in known:
            raise SearchError(
                f"hydra.sweeper.{what}_options: {cls.__name__} has no '{name}'. {hint(name, known)}"
            )
    try:
        if cls is HyperbandPruner:  # it looks at these two only when it is first asked
            shared = ("min_resource", "reduction_factor")
            SuccessiveHalvingPruner(**{k: v for k, v in options.items() if k in shared})
        return cls(**options)
    except (TypeError, ValueError) as error:
        raise SearchError(f"hydra.sweeper.{what}_options: {error}") from error


def _check_owner(study: optuna.Study, storage: str, folder: Path) -> None:
    # A database knows searches by their names alone, and other folders may have one of this name.
    owner, host = study.user_attrs.get(_OWNER), study.user_attrs.get(_HOST, platform.node())
    if owner is None or owner == str(folder.resolve()):
        return
    elsewhere = host != platform.node()  # whose folders this machine cannot look up
    if not elsewhere and not _stands(Path(owner), folder):
        return
    moved = f" If that folder has moved here, go on with it on {host} once." if elsewhere else ""
    raise SearchError(
        f"hydra.sweeper.storage={storage}: its search '{folder.name}' is that of {owner}"
        f"{f' on {host}' if elsewhere else ''}. "
        f"Give this one another name (sweep.name), or a storage of its own.{moved}"
    )


def _stands(owner: Path, folder: Path) -> bool:
    # Not one that was moved or renamed, nor this one under another name.
    try:
        return not owner.samefile(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # of somebody else, who lets nobody look
        return True


def _own(study: optuna.Study, folder: Path) -> None:
    for key, value in ((_OWNER, str(folder.resolve())), (_HOST, platform.node())):
        if study.user_attrs.get(key) != value:
            study.set_user_attr(key, value)


def _check_objectives(study: optuna.Study, settings: Settings) -> None:
    names = list(study.metric_names or settings.objectives)
    directions = [direction.name.lower() for direction in study.directions]
    if names != list(settings.objectives) or directions != list(settings.directions):
        raise SearchError(
            f"This search has begun with the objectives {', '.join(names)} "
            f"({', '.join(directions)}). Go on with hydra.sweeper.objectives=[{','.join(names)}] "
            f"hydra.sweeper.directions=[{','.join(directions)}], or give another objective a "
            "sweep of another name."
        )


def _check_space(study: optuna.Study, wanted: Mapping[str, BaseDistribution]) -> None:
    for trial in study.get_trials(deepcopy=False)[-1:]:
        for name in trial.distributions.keys() & wanted.keys():
            try:
                check_distribution_compatibility(trial.distributions[name], wanted[name])
            except ValueError as error:
                raise SearchError(
                    f"{name}: the values are of another kind or another list than this search "
                    "has begun with; bounds may change, a list may not. Give it a sweep of "
                    "another name."
                ) from error


def _enqueue_grid(study: optuna.Study, settings: Settings, space: Sequence[Dimension]) -> None:
    known = [_values(trial) for trial in study.get_trials(deepcopy=False)]
    points = itertools.product(*(dimension.points() for dimension in space))
    for point in itertools.islice(points, settings.trials):
        values = {d.name: value for d, value in zip(space, point, strict=True)}
        if values not in known:
            study.enqueue_trial(values)
