import csv
import hashlib
import math
from dataclasses import replace
from functools import cached_property
from io import StringIO
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.recurrence import Feed, RecurrentNetwork
from rnnexp.tasks import SPLITS, Batch, Split, Task, batch_seed, register_task
from rnnexp.tasks.mackey_glass import mackey_glass
from rnnexp.tasks.table import check_column, read_columns

ENDS = 0.8, 0.9
"""Shares of the rows at which training ends, and validation."""
CONTINUED, SHOWN = 200, 50
"""Steps of the free-running forecast, and of those before it that are shown with it."""


@register_task("series")
class Series(Task):
    """Forecast measurements: predict each next row of a table of numbers.

        x_t = (row_t - mean) / deviation     of each column, over the training rows
        y_t = x_{t+1}
        loss = mean (o_t - y_t)^2            1 is the variance of the training rows

    The first 80 % of the rows train, then 10 % validate and 10 % test. In training ``batch_size``
    parts are read side by side, ``length`` rows a step; the state is carried on, the gradient is
    cut (truncated BPTT). Each epoch begins at another row, and goes round. Validation and test are
    one sequence each, of which each row is judged once; the ``length`` rows before are read, too.
    The baseline is the better of two forecasts that learn nothing over time: the mean, and the last
    known value. A missing value is not judged; the network reads the last known one in its place,
    the mean where none was known before (for what is fed back: none in the window).
    ``forecast.csv`` shows what it predicts one step ahead, in units of the table, and, where it
    predicts all that it reads, how it goes on from the validation rows by itself. By default the
    table is the chaotic series of Mackey and Glass with a delay of 17, 10,000 steps of it.

        dz/dt = 0.2 z(t-17) / (1 + z(t-17)^10) - 0.1 z(t)       Euler steps of 0.1, read each 1.0

    Args:
        path: a CSV file, with or without names in its first line, or a .npy file; null makes the
            series of Mackey and Glass.
        columns: names (or numbers from 0, where there are none) of those that are read; empty
            takes each that holds numbers.
        predicted: which of them are predicted; empty predicts all.
        length: rows per window.
        inputs: none shows the network nothing but what is fed back (``model.feedback=output``):
            under teacher forcing the same likelihood, running free a series of its own.

    Source: Mackey & Glass 1977; the forecast of the row before as the measure, Theil 1966.
    """

    targets_as_inputs = True
    carries_state = True

    def __init__(
        self,
        seed: int = 0,
        *,
        path: str | None = None,
        columns: tuple[str, ...] = (),
        predicted: tuple[str, ...] = (),
        length: int = 50,
        inputs: Literal["values", "none"] = "values",
        batch_size: int = 32,
    ) -> None:
        super().__init__(seed, batch_size=batch_size)
        if length < 1:
            raise ConfigError(f"task.length: must be at least 1, got {length}.")
        self.length = length
        self.inputs = inputs
        table = read_columns(path, columns) if path else {"z": mackey_glass(10_000)}
        self.names, self._raw_NC = list(table), np.stack(list(table.values()), axis=1)
        for name in predicted:
            check_column("task.predicted", name, table)
        self._places = [i for i, name in enumerate(table) if name in (predicted or table)]
        self.predicted = [self.names[i] for i in self._places]
        ends = [round(len(self._raw_NC) * share) for share in (0, *ENDS, 1)]
        self._spans = dict(zip(SPLITS, pairwise(ends), strict=True))
        self._check_enough()
        self._check_varied()
        trained_NC = self._raw_NC[slice(*self._spans["train"])]
        self._mean_C = torch.from_numpy(np.nanmean(trained_NC, 0))
        self._deviation_C = torch.from_numpy(np.nanstd(trained_NC, 0))
        self._scaled_NC = (torch.from_numpy(self._raw_NC) - self._mean_C) / self._deviation_C
        self._filled_NC = _filled(self._scaled_NC)

    @property
    def input_size(self) -> int:
        """The columns that are read, or nothing."""
        return len(self.names) if self.inputs == "values" else 0

    @property
    def output_size(self) -> int:
        """The columns that are predicted."""
        return len(self._places)

    @property
    def baseline(self) -> float:
        """The baseline of the validation rows."""
        return self.baseline_of("val")

    def baseline_of(self, split: Split) -> float:
        """Say the squared error of the mean, or of the last known value, whichever is less.

        Args:
            split: whose rows.
        """
        return self._baselines[split]

    @cached_property
    def _baselines(self) -> dict[str, float]:
        values_NO = self._scaled_NC[:, self._places]
        before_NO = self._filled_NC[:, self._places].roll(1, 0)
        before_NO[0] = 0.0
        errors = values_NO, values_NO - before_NO
        return {
            split: min(float(e[slice(*span)].square().nanmean()) for e in errors)
            for split, span in self._spans.items()
        }

    @property
    def facts(self) -> dict[str, str]:
        """Which series it was, and by what it is scaled."""
        return {
            "series.sha256": hashlib.sha256(self._raw_NC.tobytes()).hexdigest(),
            "series.rows": str(len(self._raw_NC)),
            "series.columns": ", ".join(self.names),
            "series.mean": ", ".join(f"{value:.9g}" for value in self._mean_C.tolist()),
            "series.deviation": ", ".join(f"{value:.9g}" for value in self._deviation_C.tolist()),
            "series.missing": str(int(np.isnan(self._raw_NC).sum())),
        }

    def scale(self, rows: ArrayLike) -> Tensor:
        """Make of rows of a table what the network reads.

        Args:
            rows: in units of the table, shape (T, C), or (T, B, C) of B series; the columns are
                ``names``; NaN where a value is missing.

        Returns:
            inputs_TBI; where ``inputs`` is none, what is fed back.
        """
        rows_N = torch.from_numpy(np.array(rows, np.float64))
        if rows_N.dim() not in (2, 3) or rows_N.shape[-1] != len(self.names):
            raise ConfigError(
                f"rows: must be of shape (T, {len(self.names)}) or (T, B, {len(self.names)}), for "
                f"the columns are {', '.join(self.names)}; got {tuple(rows_N.shape)}."
            )
        scaled_NC = _filled((rows_N - self._mean_C) / self._deviation_C)
        return scaled_NC.view(len(rows_N), -1, len(self.names)).to(torch.get_default_dtype())

    def unscale(self, outputs: Tensor) -> Tensor:
        """Give outputs in units of the columns that are predicted, ``predicted``.

        Args:
            outputs: of the network, shape (..., O).
        """
        mean_O, deviation_O = self._mean_C[self._places], self._deviation_C[self._places]
        return outputs.detach().double().cpu() * deviation_O + mean_O

    def num_batches(self, split: Split) -> int:
        """Count the windows of a part; of training they are whole ones."""
        first, end = self._spans[split]
        if split == "train":
            return end // self.batch_size // self.length
        return 1 + math.ceil((end - first) / self.length)

    def batch(self, split: Split, index: int) -> Batch:
        """Take a window of every part."""
        if split != "train":
            return self._judged(split, index)
        epoch, number = divmod(index, self.num_batches(split))
        trained = self._spans["train"][1]
        begin = batch_seed(self.seed, split, epoch) + number * self.length
        firsts_B = begin + torch.arange(self.batch_size) * (trained // self.batch_size)
        rows_TB = (firsts_B + torch.arange(self.length).unsqueeze(-1)) % trained
        batch = self._window(rows_TB, number)
        batch.targets[rows_TB == trained - 1] = math.nan  # the first row is none that follows it
        return batch

    def _judged(self, split: Split, number: int) -> Batch:
        # The rows before are read, and not judged: a forecast has a past, as it has in use.
        first, end = self._spans[split]
        begin = first - 1 + (number - 1) * self.length
        rows_T = torch.arange(max(begin, 0), min(begin + self.length, end - 1))
        return replace(self._window(rows_T.unsqueeze(-1), number), spare=number == 0)

    def _window(self, rows_TB: Tensor, number: int) -> Batch:
        values_TBC = self._filled_NC[rows_TB].to(torch.get_default_dtype())
        next_TBC = self._scaled_NC[rows_TB + 1].to(torch.get_default_dtype())
        return Batch(self._shown(values_TBC), next_TBC[..., self._places], fresh=number == 0)

    def _shown(self, values_TBC: Tensor) -> Tensor:
        if self.inputs == "none":
            return values_TBC.new_zeros(*values_TBC.shape[:-1], 0)
        return values_TBC

    def weight_of(self, batch: Batch) -> int:
        """Count the values that are judged."""
        return int((~batch.targets.isnan()).sum())

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error over the values that are known."""
        return _errors(outputs, targets).square().sum() / _known(targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Mean absolute error, in deviations of the training rows."""
        return {"absolute_error": _errors(outputs, targets).abs().sum() / _known(targets)}

    def encode_target(self, targets: Tensor) -> Tensor:
        """Feed back the value itself; the last known one of the window where it is missing."""
        return _filled(targets)

    def samples(self, network: nn.Module) -> dict[str, str]:
        """Predict one step ahead; go on, too, from the validation rows without seeing what comes.

        Each forecast is read next. Where other columns are read than are predicted there is none.
        """
        assert isinstance(network, RecurrentNetwork)
        ahead_NO, free_NO = map(self.unscale, self._continued(network))
        begin, end = self._spans["test"]
        rows = min(CONTINUED, end - begin)
        past = min(SHOWN, len(ahead_NO) - rows)
        parts = {
            "": self._raw_NC[begin - past : begin + rows, self._places],
            " (one step ahead)": ahead_NO[-past - rows :].numpy(),
        }
        if len(free_NO):
            gap = ((past, 0), (0, 0))
            parts[" (forecast)"] = np.pad(free_NO.numpy(), gap, constant_values=math.nan)
        file = StringIO()
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["step", *(name + kind for kind in parts for name in self.predicted)])
        for step, row in enumerate(np.concatenate(list(parts.values()), 1).tolist(), 1 - past):
            lines.writerow([step, *("" if math.isnan(value) else value for value in row)])
        return {"forecast.csv": file.getvalue()}

    @torch.no_grad()
    def _continued(self, network: RecurrentNetwork) -> tuple[Tensor, Tensor]:
        like, (first, end) = next(network.parameters()), self._spans["val"]
        past, whole = end - first, min(end + CONTINUED, len(self._raw_NC)) - first
        read_NC, next_NC = (self._filled_NC[i : i + whole].to(like) for i in (first - 1, first))
        read_TBI, fed_TBO = self._shown(read_NC.unsqueeze(1)), next_NC[:, None, self._places]
        before_TBO, state = network(read_TBI[:past], targets_TBO=fed_TBO[:past])
        after_TBO, _ = network(read_TBI[past:], state, targets_TBO=fed_TBO[past:])
        ahead_NO = torch.cat([before_TBO, after_TBO])[:, 0]
        value_BO, free = fed_TBO[past - 1], [ahead_NO[:0]]
        for _ in range(whole - past if self.input_size <= self.output_size else 0):
            outputs_TBO, state = network(self._shown(value_BO[None]), state, feed=Feed.free())
            value_BO = outputs_TBO[-1]
            free.append(value_BO)
        return ahead_NO, torch.cat(free)

    def _check_enough(self) -> None:
        rows, read = len(self._raw_NC), self.batch_size * self.length
        least = max(10, math.ceil(read / ENDS[0]))
        if rows < least:
            raise ConfigError(
                f"task.path: {rows} rows are too few for batches of {self.batch_size} parts of "
                f"{self.length}; {least} are needed. Lower task.batch_size or task.length."
            )

    def _check_varied(self) -> None:
        for split, span in self._spans.items():
            for name, column_N in zip(self.names, self._raw_NC[slice(*span)].T, strict=True):
                known_N = column_N[~np.isnan(column_N)]
                if len(known_N) and (split != "train" or np.ptp(known_N) > 0):
                    continue
                fault = "does not vary" if len(known_N) else "has no value"
                raise ConfigError(
                    f"task.columns: '{name}' {fault} in rows {span[0] + 1} to {span[1]}, the part "
                    f"for {split}. Name the columns to be read without it."
                )


def _filled(values_NO: Tensor) -> Tensor:
    # With the last known value where one is missing; the mean where none was known.
    rows_N = torch.arange(len(values_NO), device=values_NO.device)
    rows_NO = rows_N.view(-1, *[1] * (values_NO.dim() - 1)).where(~values_NO.isnan(), 0)
    return values_NO.gather(0, rows_NO.cummax(0).values).nan_to_num(0.0)


def _errors(outputs: Tensor, targets: Tensor) -> Tensor:
    # Missing values go before the difference: a NaN behind it would come back in the gradient.
    return (outputs - targets.nan_to_num(0.0)).where(~targets.isnan(), 0.0)


def _known(targets: Tensor) -> Tensor:
    return (~targets.isnan()).sum().clamp(min=1)
