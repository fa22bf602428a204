"""What a task gives to a run and its record, refused where either would be wrong or lost."""

import re
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from rnnexp.errors import PluginError
from rnnexp.tasks.contract import Task
from rnnexp.tasks.returned import figure, judged

ENGINES_OWN = ("loss", "loss_relative", "loss_best", "loss_relative_best", "loss_free")
"""The figures that the engine records itself under ``val/`` and ``test/``."""


def loss_of(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Ask a task for the loss of a batch.

    Args:
        task: whose `Task.loss` is asked for.
        outputs: of the network.
        targets: of the batch.

    Raises:
        PluginError: it is no single number, or has no gradient where the outputs have one.
    """
    return judged(task, task.loss(outputs, targets), outputs)


def metrics_of(task: Task, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Ask a task for its figures of a batch.

    Args:
        task: whose `Task.metrics` are asked for.
        outputs: of the network, as the loss gets them.
        targets: of the batch.

    Raises:
        PluginError: one has a name under which the engine records a figure of its own, or is no
            single number.
    """
    figures = _mapping(task, "metrics", task.metrics(outputs, targets))
    for name in figures:
        if _is_taken(name, figures):
            raise PluginError(
                f"The task {type(task).__name__}: metrics gives a figure '{name}', and under this "
                f"name the engine records its own ({', '.join(ENGINES_OWN)}, and each figure "
                "running free as NAME_free, at another length as NAME_T50, NAME_T50_free). "
                f"Call it otherwise, such as 'own_{name}'."
            )
    return {name: figure(task, name, value, outputs) for name, value in figures.items()}


def facts_of(task: Task) -> dict[str, str]:
    """Ask a task for its `Task.facts`, as text: a store takes nothing else.

    Raises:
        PluginError: they are no mapping.
    """
    return {str(name): str(value) for name, value in _mapping(task, "facts", task.facts).items()}


def _is_taken(name: str, figures: Mapping[str, Tensor]) -> bool:
    stem = re.sub(r"(_T\d+)?(_free)?$", "", name)
    return stem in ENGINES_OWN or (stem != name and stem in figures)


def _mapping(task: Task, method: str, given: object) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return {str(name): value for name, value in cast("Mapping[object, Any]", given).items()}
    raise PluginError(
        f"The task {type(task).__name__}: {method} must give a dictionary, such as "
        f"{{'name': value}}, got {type(given).__name__}."
    )
