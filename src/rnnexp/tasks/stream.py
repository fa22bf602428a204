"""Batches in order, whole or in windows of k steps, from any position on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from torch import Tensor

from rnnexp.errors import ConfigError
from rnnexp.tasks.contract import Batch, Pattern, Split, Task
from rnnexp.tasks.returned import check_tensors


@dataclass(frozen=True)
class Share:
    """The rows of every batch that one of several processes takes.

    Args:
        rank: number of the process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def of(self, batch: Batch, split: Split, pattern: Pattern) -> Batch:
        """Take this share of a batch: rows in a row, as many as the others take in training.

        In evaluation a batch may have fewer rows than there are processes. One that is left
        without takes a row of another's, which weighs nothing: no code meets a batch of no rows.

        Raises:
            ConfigError: the rows cannot be shared out.
        """
        if self.size == 1:
            return batch
        rows = batch.inputs_TBI.shape[1]
        if split == "train" and rows % self.size:
            raise ConfigError(
                f"A batch of {rows} rows ({split}) cannot be shared by trainer.devices={self.size}."
                " Give a task.batch_size that can."
            )
        begin, end = rows * self.rank // self.size, rows * (self.rank + 1) // self.size
        own = slice(begin, max(end, begin + 1))
        targets = batch.targets[:, own] if pattern == "every_step" else batch.targets[own]
        inputs_TBI = batch.inputs_TBI[:, own].contiguous()
        spare = batch.spare or begin == end
        return replace(batch, inputs_TBI=inputs_TBI, targets=targets.contiguous(), spare=spare)


WHOLE = Share()


class BatchStream:
    """The batches of a split as Lightning iterates over them.

    Under truncated BPTT a sequence with targets at every step comes as T/k windows, one batch each,
    so that Lightning's own optimisation, clipping and step count apply to a window. One with
    targets at its end comes whole: only its last window has a loss, hence a step. The position is
    part of a checkpoint: a resumed run goes on with the next batch, and one whose window is another
    with the next sequence.

    Args:
        task: where the batches come from.
        split: which of its splits.
        pattern: whether targets stand at every step or once per sequence.
        window: steps k per window; None gives whole sequences.
        share: which rows of every batch.
    """

    def __init__(
        self,
        task: Task,
        split: Split,
        pattern: Pattern,
        window: int | None = None,
        share: Share = WHOLE,
    ) -> None:
        self.task = task
        self.split: Split = split
        self.pattern: Pattern = pattern
        self.window = window
        self.share = share
        self.position = 0
        self._latest: tuple[int, Batch] | None = None

    @property
    def windows(self) -> int:
        """How many batches a sequence is cut into."""
        if self.window is None or self.pattern == "last":
            return 1
        return -(-self.task.length // self.window)

    @property
    def sequences(self) -> float:
        """How many the batches so far were made of; of one that is not over, the share."""
        return self.position * self.task.batch_size / self.windows

    def __len__(self) -> int:
        return self.task.num_batches(self.split) * self.windows

    def __iter__(self) -> Iterator[Batch]:
        if self.split != "train":
            self.position = 0
        left = len(self) - self.position % len(self)
        for _ in range(left):
            batch = self.at(self.position)
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Tell the position, and in which sequences."""
        return {"position": self.position, "windows": self.windows, "sequences": self._sequences()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a position; of other sequences, or other windows, with the next whole one."""
        position, windows = int(state_dict["position"]), state_dict.get("windows", self.windows)
        if self.goes_on_from(state_dict):
            self.position = position
        else:
            self.position = -(-position // windows) * self.windows

    def goes_on_from(self, state_dict: dict[str, Any]) -> bool:
        """Tell whether a state is of these very sequences, cut into these windows."""
        return bool(state_dict.get("sequences", self._sequences()) == self._sequences())

    def _sequences(self) -> dict[str, Any]:
        task, window = self.task, self.window if self.pattern == "every_step" else None
        kept = {"length": task.length, "seed": task.seed, "rows": task.batch_size}
        return {**kept, "task": type(task).__name__, "window": window}

    def at(self, position: int) -> Batch:
        """Make the batch at a position: a whole sequence, or a window of one."""
        index, part = divmod(position, self.windows)
        batch = self._batch(index)
        if self.window is None or self.pattern == "last":
            return batch
        return window_of(batch, part, self.window, self.pattern)

    def _batch(self, index: int) -> Batch:
        # The windows of a sequence come one after the other: it is made once.
        if self._latest is None or self._latest[0] != index:
            batch = self.task.batch(self.split, index)
            parts = getattr(batch, "inputs_TBI", None), getattr(batch, "targets", None)
            check_tensors(self.task, batch, parts)
            self._latest = index, self.share.of(batch, self.split, self.pattern)
        return self._latest[1]


def windows_of(batch: Batch, window: int | None, pattern: Pattern) -> Iterator[Batch]:
    """Cut a batch into its windows, in order; None leaves it whole."""
    steps = batch.inputs_TBI.shape[0]
    size = steps if window is None else window
    return (window_of(batch, part, size, pattern) for part in range(-(-steps // size)))


def window_of(batch: Batch, part: int, window: int, pattern: Pattern) -> Batch:
    """Cut window number ``part`` of ``window`` steps out of a batch.

    The targets of the pattern ``last`` belong to the last window, though all windows name them.
    """
    steps = slice(part * window, (part + 1) * window)
    inputs_TBI = batch.inputs_TBI[steps]
    return replace(
        batch,
        inputs_TBI=inputs_TBI,
        targets=batch.targets[steps] if pattern == "every_step" else batch.targets,
        fresh=batch.fresh and part == 0,
        before=part * window,
        after=len(batch.inputs_TBI) - part * window - len(inputs_TBI),
    )


def joined(parts: Iterator[Tensor], steps: int) -> Tensor:
    """Put the outputs of the windows of a sequence of so many steps together.

    Each goes where it belongs as it comes: to keep all until the last takes more than twice the
    memory, for beside them lie holes that are too small for what a later window needs.
    """
    first = next(parts)
    if len(first) == steps:
        return first
    whole_TBO, begin = first.new_empty(steps, *first.shape[1:]), 0
    for part in chain([first], parts):
        whole_TBO[begin : begin + len(part)] = part
        begin += len(part)
    return whole_TBO
