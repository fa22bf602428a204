"""The spectral radius of every shipped cell, against the product that its loop takes."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.cells import Cell, PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.errors import ConfigError
from rnnexp.registry import REGISTRY, Registry

load_plugins()
H = 8


def radii(plugins: Registry, *cells: Cell, directions: int = 1) -> dict[str, float]:
    module: Any = sys.modules[plugins.get("callback", "spectral_radius").cls.__module__]
    network = type("Net", (), {"layers": list(cells), "directions": directions})()
    return module.radii(network)


def made(plugins: Registry, name: str) -> Cell:
    torch.manual_seed(0)
    return plugins.get("cell", name).cls(2, hidden_size=H).double()


@torch.no_grad()
def matrices(cell: PointwiseCell) -> torch.Tensor:
    """Read R off the products of the loop, gate by gate."""
    one = torch.eye(H, dtype=torch.float64)
    columns_HGH = cell.project_recurrent(one) - cell.project_recurrent(torch.zeros_like(one))
    return columns_HGH.permute(1, 2, 0)


@pytest.mark.parametrize("name", [entry.name for entry in REGISTRY.all("cell")])
def test_it_is_that_of_the_matrix_in_the_loop(plugins: Registry, name: str) -> None:
    cell = made(plugins, name)
    if not isinstance(cell, PointwiseCell) or cell.weight_hh is None:
        assert radii(plugins, cell) == {}
        return
    wanted = float(torch.linalg.eigvals(matrices(cell)).abs().max())
    assert radii(plugins, cell) == {"flow/spectral_radius": pytest.approx(wanted)}


def test_a_matrix_that_is_kept_orthogonal_has_the_radius_1(plugins: Registry) -> None:
    assert radii(plugins, made(plugins, "exp_rnn"))["flow/spectral_radius"] == pytest.approx(1.0)


@pytest.mark.parametrize("every", [0, -1])
def test_a_step_between_two_records_is_one_at_least(plugins: Registry, every: int) -> None:
    words = [f"+callbacks.spectral_radius.every={every}"]
    prepare(words)
    with pytest.raises(ConfigError, match=f"every: must be at least 1, got {every}"):
        check_jobs(words, multirun=False, config_dir=None)


@pytest.mark.parametrize(("directions", "last"), [(1, "layer1"), (2, "layer0_reverse")])
def test_of_several_it_is_named_as_all_figures_of_a_cell(
    plugins: Registry, directions: int, last: str
) -> None:
    cells = [made(plugins, "elman") for _ in range(2)]
    names = {f"flow/spectral_radius_{name}" for name in ("layer0", last)}
    assert set(radii(plugins, *cells, directions=directions)) == names


def ends_of_batches(callback: Any, begin: int, ends: list[int]) -> list[int]:
    """Say at which steps it logs, where the batches end at these steps."""
    logged: list[int] = []
    logger = SimpleNamespace(log_metrics=lambda _, step: logged.append(step))
    trainer = SimpleNamespace(global_step=begin, logger=logger)
    network = SimpleNamespace(layers=[], directions=1)
    module = SimpleNamespace(network=network)
    callback.on_train_start(trainer, module)
    for trainer.global_step in ends:
        callback.on_train_batch_end(trainer, module, None, None, 0)
    return logged


def test_a_step_of_several_batches_is_logged_once(plugins: Registry) -> None:
    callback = plugins.get("callback", "spectral_radius").cls(every=2)
    steps = [step for step in range(5) for _ in range(3)]
    assert ends_of_batches(callback, 0, steps) == [2, 4]
    assert ends_of_batches(callback, 4, [4, 4, 5, 5, 5, 6, 6]) == [6], "4 was logged before"
