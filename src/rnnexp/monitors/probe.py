"""The dynamics of the state, looked at every so many steps of a run."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rnnexp.cells import Cell
from rnnexp.monitors.dynamics import Dynamics, dynamics
from rnnexp.monitors.groups import cell_names, is_reverse, suffix_of
from rnnexp.recurrence import InputTrace, RecurrentNetwork, Trace, unroll
from rnnexp.recurrence.generators import generators_kept
from rnnexp.tasks import Batch
from rnnexp.tracking.journal import append_line, forget_after
from rnnexp.types import State

DYNAMICS = "dynamics.jsonl"
_STEPS = 2000
"""A look takes about a millisecond for each time step, and keeps the state before it."""


class DynamicsProbe(Callback):
    """Record how the state moves, by the weights that the step's gradient is of.

    Logs means over time, ``flow/state_norm``, ``flow/saturated``, ``flow/log_growth`` and
    ``flow/cut``, and keeps what each time step shows in ``dynamics.jsonl``. Stands behind the
    callback that asks for traces, and asks for some that keep the inputs too. Of several processes
    that train one network the first looks, at its own rows.

    Args:
        folder: the run's.
        every: optimizer steps between two looks.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every
        self._found: dict[str, Dynamics] = {}
        self._looked_at = -1
        self._due = False
        self._end = self._turn = 0  # where the batch ends, and which of its parts has its turn
        self._begin = 0  # of what was looked at last

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget what a checkpoint does not know of."""
        del pl_module
        forget_after(self.folder / DYNAMICS, trainer.global_step)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ask for the inputs of this batch where it is due."""
        accumulate = trainer.accumulate_grad_batches
        if batch_idx % accumulate == 0:
            self._found = {}  # of a step that was not made
        module = cast(Any, pl_module)
        index, windows = _place_of(batch, module.window)
        pace = pace_of(self.every, windows, accumulate)
        self._due = is_due(trainer.global_step, self._looked_at, pace, index, windows)
        if self._due:
            self._end = batch.before + len(batch.inputs_TBI)
            self._turn = trainer.global_step // pace // windows
            follows = any(trace.follows_last for trace in module.traces)
            module.traces = [InputTrace(follows) for _ in module.network.layers]

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, before the optimizer moves the weights."""
        if self._due:
            network = cast(RecurrentNetwork, pl_module.network)
            traces: list[Trace] = cast(Any, pl_module).traces
            self._looked_at, self._found = trainer.global_step, {}
            for name, cell, trace in zip(cell_names(network), network.layers, traces, strict=True):
                driven = trace.driven()
                if driven is not None:
                    self._found[name] = self._look(name, cell, *driven)

    def _look(self, name: str, cell: Cell, inputs_TBI: Tensor, state: State) -> Dynamics:
        steps = len(inputs_TBI)
        part = part_of(steps, self._turn)
        self._begin = self._end - steps + part.start
        if is_reverse(name):  # it has met the part from the sequence's end
            part = range(steps - part.stop, steps - part.start)
        weight = next(cell.parameters()).real  # inputs are, whatever the weights
        inputs_TBI = inputs_TBI.to(weight.dtype)
        with torch.autocast(weight.device.type, enabled=False):
            state = _state_at(part.start, cell, inputs_TBI, state)
            return dynamics(cell, inputs_TBI[part.start : part.stop], state, self._looked_at)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record, once the step is done; amid an accumulation it is not."""
        del pl_module, outputs, batch, batch_idx
        if not self._found or trainer.global_step != self._looked_at + 1:
            return
        if trainer.is_global_zero:
            append_dynamics(self.folder, trainer.global_step, self._found, self._begin)
        if trainer.logger is not None:
            trainer.logger.log_metrics(means(self._found), step=trainer.global_step)
        self._found = {}

    def state_dict(self) -> dict[str, Any]:
        """Keep which step was looked at last, and what it shows if it is half done."""
        found = {layer: asdict(seen) for layer, seen in self._found.items()}
        return {"looked_at": self._looked_at, "found": found, "begin": self._begin}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self._looked_at = int(state_dict["looked_at"])
        self._begin = int(state_dict.get("begin", 0))
        found = state_dict["found"].items()
        self._found = {layer: Dynamics(**seen) for layer, seen in found if "cut_T" in seen}


def pace_of(every: int, windows: int, accumulate: int) -> int:
    """Say after how many optimizer steps the next look is due, so that each window may come.

    Args:
        every: steps between two looks, as asked for.
        windows: of a sequence.
        accumulate: batches of a step.
    """
    return max(every, -(-windows // accumulate))


def is_due(steps_done: int, looked_at: int, pace: int, index: int, windows: int) -> bool:
    """Tell whether to look at a batch.

    Once every so many steps, at one batch of those that accumulate; under truncated BPTT at the
    windows of a sequence in turn, or all looks could be at the same one.

    Args:
        steps_done: by the optimizer.
        looked_at: the steps that were done at the last look; -1 before the first.
        pace: steps between two looks.
        index: the batch's window of its sequence, from 0.
        windows: of a sequence.
    """
    look, last = steps_done // pace, looked_at // pace
    return look != last and index == look % windows


def part_of(steps: int, turn: int) -> range:
    """Say which time steps of a batch are looked at: of more than 2000 a part, each in turn.

    Args:
        steps: T.
        turn: how many looks have been at this window of its sequence.
    """
    begin = turn % -(-steps // _STEPS) * _STEPS
    return range(begin, min(begin + _STEPS, steps))


def means(found: Mapping[str, Dynamics]) -> dict[str, float]:
    """Take the means over the time steps that show something; what none does is left out."""
    figures: dict[str, float] = {}
    for layer, seen in found.items():
        suffix = suffix_of(layer, found)
        for name, values_T in _columns(seen).items():
            figures[f"flow/{name}{suffix}"] = float(values_T.nanmean())
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def append_dynamics(folder: Path, step: int, found: Mapping[str, Dynamics], begin: int = 0) -> None:
    """Append a line of strict JSON to ``dynamics.jsonl``: by layer, lists over t.

    Args:
        folder: the run's.
        step: of the optimizer.
        found: what each layer shows.
        begin: steps of the sequence before the first of the lists.
    """
    layers = {cell: _lists(seen, is_reverse(cell)) for cell, seen in found.items()}
    line = {"step": step, "begin": begin, "layers": layers}
    append_line(folder / DYNAMICS, json.dumps(line, allow_nan=False))


def _place_of(batch: Batch, window: int | None) -> tuple[int, int]:
    """Give the number of the batch's window in its sequence, and how many there are."""
    if window is None or not (batch.before or batch.after):
        return 0, 1
    steps = batch.before + len(batch.inputs_TBI) + batch.after
    return batch.before // window, -(-steps // window)


def _state_at(step: int, cell: Cell, inputs_TBI: Tensor, state: State) -> State:
    with torch.no_grad(), generators_kept(inputs_TBI):
        for begin in range(0, step, _STEPS):
            x_TBI = inputs_TBI[begin : min(begin + _STEPS, step)]
            state = unroll(cell, x_TBI, state).state
    return state


def _columns(seen: Dynamics) -> dict[str, Tensor]:
    return {
        "state_norm": seen.state_norm_T,
        "saturated": seen.saturated_T,
        "log_growth": seen.log_growth_T,
        "cut": seen.cut_T,
    }


def _lists(seen: Dynamics, reverse: bool) -> dict[str, list[float | None]]:
    # In the order of the sequence; a cell that reads it from its end has met it the other way.
    order = -1 if reverse else 1
    return {
        f"{name}_T": [v if math.isfinite(v) else None for v in values_T.tolist()][::order]
        for name, values_T in _columns(seen).items()
    }
