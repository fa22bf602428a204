"""A trained network and its task, back from what a run left: for predictions in Python."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnnexp.app.config.build import build_task, make_plan
from rnnexp.app.config.data_files import with_files_of
from rnnexp.app.config.sources import recorded
from rnnexp.app.run.loadable import loadable
from rnnexp.app.run.resume import run_folder, started_in
from rnnexp.discovery import load_plugins
from rnnexp.errors import ConfigError
from rnnexp.files import CONFIG, JOURNAL, OUTPUTS
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import REGISTRY
from rnnexp.tasks import Task
from rnnexp.tasks.record import facts_of
from rnnexp.tracking import load_run
from rnnexp.training.checkpoints import best_in, load_whole, of_network


@dataclass(frozen=True)
class _Kept:
    """A run's folder, and one of the checkpoints in it."""

    folder: Path
    checkpoint: Path


def load_network(run: str | Path, outputs: str | Path = OUTPUTS) -> RecurrentNetwork:
    """Load the trained network of a run: its best weights, or the last ones without a validation.

        network = load_network("56e8717b")
        outputs, state = network(inputs_TBI)

    It is built from the config that the run recorded and from its own plugin sources, on the CPU,
    in evaluation mode, in the precision of its weights. The plugins of this process stay as they
    are, and so do torch's random numbers.

    Args:
        run: an MLflow run id or its first characters, ``latest``, a run's folder, or a checkpoint
            in the folder ``checkpoints`` of one.
        outputs: the folder below which ids are looked for.

    Returns:
        The network. It takes inputs_TBI, shape (T, B, I), and gives a pair: the outputs, shape
        (T, B, O), or (B, O) where the readout is ``last``; and the state after step T, which it
        takes as second argument to go on from. Of classes the outputs are logits.

    Raises:
        ConfigError: there is no such run; it has no config; it left no checkpoint; the checkpoint
            is damaged, or holds another network; a file of its task is neither in the working
            folder nor beside the run's ``outputs``.
        PluginError: a source that was kept with the run cannot be loaded.
    """
    kept = _locate(str(run), Path(outputs))
    weights = _weights_in(kept.checkpoint)
    with _plugins_kept(), torch.random.fork_rng(devices=[]), _config_of(kept.folder) as values:
        network = loadable(make_plan(values), weights).network
    try:
        network.load_state_dict(of_network(weights))
    except RuntimeError as error:  # torch's message lists names and shapes
        raise ConfigError(
            f"{kept.checkpoint} holds another network than {kept.folder / CONFIG} asks for. {error}"
        ) from error
    return network.eval()


def load_task(run: str | Path, outputs: str | Path = OUTPUTS) -> Task:
    """Load the task of a run, which makes of raw data what the run's network reads.

        task = load_task("56e8717b")
        outputs, state = network(task.scale(rows))          # task=series
        outputs, state = network(task.encode(sequences))    # task=labelled

    Args:
        run: as that of `load_network`.
        outputs: the folder below which ids are looked for.

    Returns:
        The task, made of its files anew.

    Raises:
        ConfigError: as `load_network`; or the files hold other data than the run has read.
        PluginError: a source that was kept with the run cannot be loaded.
    """
    folder = _locate(str(run), Path(outputs)).folder
    with _plugins_kept(), torch.random.fork_rng(devices=[]), _config_of(folder) as values:
        task = build_task(values)
    _check_data(folder, task)
    return task


def _check_data(folder: Path, task: Task) -> None:
    if not (folder / JOURNAL).is_file():
        return
    then = load_run(folder).tags
    for name, now in facts_of(task).items():
        if then.get(name, now) != now:
            raise ConfigError(
                f"The data of the task has changed since {folder} read it: {name} was "
                f"{then[name]}, and is {now}. Put the file back as it was; new rows go elsewhere."
            )


def _locate(run: str, outputs: Path) -> _Kept:
    path = Path(run)
    if path.is_file():
        folder = path.resolve().parent.parent
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"{path}: {folder} is no run's folder, for it has no {CONFIG}. Give a file in "
                "the folder checkpoints of a run."
            )
        return _Kept(folder, path)
    folder = run_folder(run, outputs)
    return _Kept(folder, _best_in(folder))


def _best_in(folder: Path) -> Path:
    file = best_in(folder)
    if file is None:
        raise ConfigError(
            f"The run in {folder} left no checkpoint: it has not come to its first validation, or "
            "its checkpoints were deleted."
        )
    return file


def _weights_in(file: Path) -> Mapping[str, Tensor]:
    content = load_whole(file)
    if content is None:
        raise ConfigError(
            f"{file} is no checkpoint, or a damaged one. Give another file of that folder, or a "
            "copy of it from the artifacts of the run."
        )
    return content["state_dict"]


@contextmanager
def _config_of(folder: Path) -> Generator[dict[str, Any]]:
    values, _ = recorded(folder)
    started = started_in(folder)
    try:
        yield with_files_of(values, started)
    except ConfigError as error:
        missed = error.__cause__
        if not isinstance(missed, FileNotFoundError) or Path(str(missed.filename)).is_absolute():
            raise
        raise ConfigError(
            f"{error} It was looked for in {Path.cwd()} and in {started}, the folder of the run's "
            "outputs. Change to the folder that the path starts from, or put the file there."
        ) from error


@contextmanager
def _plugins_kept() -> Generator[None]:
    # Who trains or loads another run afterwards means the plugins as they are now.
    load_plugins()
    before = dict(REGISTRY.entries)
    try:
        yield
    finally:
        REGISTRY.entries |= before
