"""Several processes that train one network: who is who, and how they agree.

Each takes its rows of every batch; the gradients are averaged. So n processes compute what one
would, up to rounding.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed

V = TypeVar("V")
FIND_UNUSED = "ddp_find_unused_parameters_true"
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", FIND_UNUSED)
"""Names, in Lightning, of the strategy by which several processes train here."""
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Place:
    """The place of a process among those of its run.

    Args:
        rank: its number, from 0, which alone keeps the record.
        size: how many there are.
        meeting: a file by which they find one another, fresh for each start.
    """

    rank: int = 0
    size: int = 1
    meeting: Path | None = None

    @property
    def leads(self) -> bool:
        """Whether it keeps the record."""
        return self.rank == 0


ALONE = Place()


class PlacedEnvironment(LightningEnvironment):
    """Tell Lightning the place of this process, whatever stands in environment variables.

    Under Slurm, Lightning would take the tasks of the allocation for processes of this run, and
    keep no record in all but the first.

    Args:
        place: this process's.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.set_global_rank(place.rank)

    @property
    def creates_processes_externally(self) -> bool:
        """Say that all processes have been started already."""
        return True

    def local_rank(self) -> int:
        """Return the number of this process."""
        return self.place.rank

    def node_rank(self) -> int:
        """Return that of this machine: the only one."""
        return 0

    def teardown(self) -> None:
        """Leave the environment as it is."""


class TeamStrategy(DDPStrategy):
    """Lightning's DDP between processes that are already there.

    Lightning's own launcher starts ``sys.argv`` again in each process: in a sweep, the sweep.

    Args:
        place: this process's.
        options: of `DDPStrategy`.
    """

    def __init__(self, place: Place, **options: Any) -> None:
        super().__init__(**options)
        self.place = place

    def _configure_launcher(self) -> None:
        self._launcher = None

    def setup_distributed(self) -> None:
        """Meet the others at a file: no port to be chosen, or to be taken by someone else."""
        if distributed.is_initialized():
            return
        self.set_world_ranks()
        backend = self._process_group_backend = self._get_process_group_backend()
        place, device = self.place, self.root_device
        store = distributed.FileStore(_as_utf8(place.meeting), place.size)
        _gather(store, place)
        distributed.init_process_group(
            backend,
            store=store,
            rank=place.rank,
            world_size=place.size,
            device_id=None if device.type == "cpu" else device,
        )


def _gather(store: distributed.FileStore, place: Place) -> None:
    # The others take seconds to start. While torch waits for them, no signal is heard.
    store.set(f"here{place.rank}", "")
    while place.leads and not store.check([f"here{rank}" for rank in range(place.size)]):
        time.sleep(_POLL_SECONDS)


def _as_utf8(file: Path | None) -> str:
    # torch takes names in UTF-8, whatever encoding Python has for the names of files.
    assert file is not None
    return os.fsencode(file).decode(errors="surrogateescape")


class OwnDraws(Callback):
    """Give each process draws of its own, such as dropout: the weights are drawn by then.

    Args:
        place: this process's; the first goes on as if it were alone.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed torch anew; a checkpoint's generators are set after this."""
        del trainer, pl_module
        if not self.place.leads:
            torch.manual_seed(torch.initial_seed() + 7919 * self.place.rank)


def rank_and_size() -> tuple[int, int]:
    """Return the number of this process and how many there are, while they are connected."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def word_of_first(trainer: Trainer, value: int) -> int:
    """Take the value that the first process has, on all of them: their clocks and signals differ.

    Args:
        trainer: of this process.
        value: this process's own.
    """
    if trainer.world_size == 1:
        return value
    told = torch.tensor(value, device=trainer.strategy.root_device)
    distributed.broadcast(told, src=0)
    return int(told)


def from_all(value: V) -> list[V]:
    """Collect a value of every process, in their order, on all of them."""
    _, size = rank_and_size()
    if size == 1:
        return [value]
    found: list[Any] = [None] * size
    distributed.all_gather_object(found, value)
    return found


def all_rows(rows_B: Tensor) -> Tensor:
    """Put the rows of all processes together, shape (B, ...) from (B/n, ...)."""
    _, size = rank_and_size()
    if size == 1:
        return rows_B
    parts = [torch.empty_like(rows_B, memory_format=torch.contiguous_format) for _ in range(size)]
    distributed.all_gather(parts, rows_B.contiguous())
    return torch.cat(parts)


def own_rows(rows_B: Tensor) -> Tensor:
    """Take this process's rows, shape (B/n, ...) from (B, ...)."""
    rank, size = rank_and_size()
    return rows_B.tensor_split(size)[rank]


def mean_over_all(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Average tensors over the processes."""
    _, size = rank_and_size()
    if size == 1:
        return list(tensors)
    means = [tensor.detach().clone() for tensor in tensors]
    for mean in means:
        distributed.all_reduce(mean)
        mean /= size
    return means
