"""Weights of another run to begin with: ``model.init_from=RUN``.

Resuming takes everything from a checkpoint; this takes the weights alone, so that optimizer,
schedule, task and readout may be others.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.files import CHECKPOINTS, OUTPUTS
from rnnexp.tracking import find_run
from rnnexp.training.checkpoints import best_in, load_whole, of_network

KEY = "model.init_from"
_CELLS = "cells."


def pretrained_by(values: Mapping[str, Any]) -> Path | None:
    """Name the checkpoint with whose weights a network begins; None for weights of its own.

    Args:
        values: a config, which `with_file_named` has given.
    """
    file = values["model"].get("init_from")  # older records know no such key
    return Path(file) if file else None


def with_file_named(values: dict[str, Any]) -> dict[str, Any]:
    """Put the checkpoint in the place of the run that ``model.init_from`` names.

    Args:
        values: a config, of which nothing else is looked at.

    Returns:
        The config; the checkpoint is that of the best validation, or the last one without any.

    Raises:
        ConfigError: there is no such run, or it left no checkpoint.
    """
    model: Any = values.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("init_from"), str):
        return values
    file = _file_of(model["init_from"])
    return {**values, "model": {**model, "init_from": str(file.resolve())}}


def _file_of(given: str) -> Path:
    if Path(given).is_file():
        return Path(given)
    folder = Path(given) if given and Path(given).is_dir() else find_run(given, OUTPUTS)
    if folder is None:
        raise ConfigError(
            f"{KEY}={given}: no such file or folder, and no run of this id below "
            f"{OUTPUTS.resolve()}. Give a run's MLflow id, its folder, or a checkpoint file."
        )
    file = best_in(folder)
    if file is None:
        raise ConfigError(f"{KEY}={given}: there is no checkpoint in {folder / CHECKPOINTS}.")
    return file


def check_pretrained(network: nn.Module, file: Path) -> None:
    """Refuse weights that are not those of the network's cells.

    Args:
        network: which is to begin with them.
        file: the checkpoint.

    Raises:
        ConfigError: it is none, or the cells in it are others; names the first that differs.
    """
    for name, there, here in _differences(network, _weights_in(file)):
        if name.startswith(_CELLS):
            raise ConfigError(
                f"{KEY}: {file} holds other cells than the config asks for: {name} is {there} "
                f"there, and {here} here. Give cell= and model.layers= as they were."
            )


def begin_with(network: nn.Module, file: Path | None) -> None:
    """Give a network the weights of a checkpoint.

    Args:
        network: whose cells are those of the checkpoint; a readout of another size stays as it is.
        file: the checkpoint; with None all stays as it is.
    """
    if file is None:
        return
    weights = _weights_in(file)
    other = {name for name, _, _ in _differences(network, weights)}
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name not in other:
                tensor.copy_(weights[name])


def begins_anew(network: nn.Module, file: Path) -> str:
    """Say what of a network does not begin with the weights of a checkpoint; empty for nothing."""
    own = network.state_dict()
    parts = [
        f"{name} ({there} there, {here} here)"
        for name, there, here in _differences(network, _weights_in(file))
        if name in own
    ]
    return f"Not as in {file}, and begins anew: {', '.join(parts)}." if parts else ""


def _weights_in(file: Path) -> Mapping[str, Tensor]:
    content = load_whole(file) if file.is_file() else None
    if content is None:
        raise ConfigError(
            f"{KEY}: {file} is gone, damaged or no checkpoint. Put it back, or name another."
        )
    return of_network(content["state_dict"])


def _differences(
    network: nn.Module, weights: Mapping[str, Tensor]
) -> Iterator[tuple[str, str, str]]:
    own = network.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        there, here = size_in(weights, name), size_in(own, name)
        if there != here:
            yield name, there, here


def size_in(weights: Mapping[str, Tensor], name: str) -> str:
    """Say in words how large a tensor is among others: ``32x8``, ``a number`` or ``missing``."""
    if name not in weights:
        return "missing"
    return "x".join(map(str, weights[name].shape)) or "a number"
