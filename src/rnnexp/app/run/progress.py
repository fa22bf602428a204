"""What a person sees while a network trains: a bar on a terminal, lines elsewhere."""

import time
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from rnnexp.monitors.gradients import StepMonitor

Style = Literal["auto", "bar", "lines", "none"]
_REFRESH_SECONDS = 0.1
_LINES = 5
_LINE_SECONDS = 15.0
_SLOW, _WHOLE = 0.1, 10.0
"""Steps a second: below the first seconds a step are shown, from the second on whole figures."""
_BAR, _LEFT = 24, 8
_WIDTHS = {"loss": 14, "norms": 26, "rate": 13}
"""Columns of a terminal that each figure beside the bar takes."""


class RunProgress(Callback):
    """Show step, loss, raw and clipped gradient norm, steps per second.

    Args:
        monitor: has the latest figures.
        title: the run's name.
        style: bar or lines; auto decides by the terminal.
    """

    def __init__(self, monitor: StepMonitor, title: str, style: Style = "auto") -> None:
        self.monitor = monitor
        self.title = title
        self.console = Console(stderr=True)
        self.style = style
        if style == "auto":
            self.style = "bar" if self.console.is_terminal else "lines"
        self._bar: Progress | None = None
        self._shown = 0.0
        self._rate = 0.0
        self._said = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the display."""
        del pl_module
        if self.style == "bar" and trainer.is_global_zero:
            self._bar = make_bar(self.console, self.title, trainer.max_steps)
            self._bar.add_task(self.title, total=trainer.max_steps, **self._fields())
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Move the display, at most ten times a second."""
        del pl_module, args, kwargs
        self._rate = self.monitor.latest.get("time/steps_per_second", self._rate)
        if self._bar is not None:
            self._move(trainer.global_step)
        elif self.style == "lines" and trainer.is_global_zero:
            self._say(trainer.global_step, trainer.max_steps)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the display."""
        del pl_module
        if self._bar is not None:
            self._shown = 0.0
            self._move(trainer.global_step)
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal as it was."""
        del trainer, pl_module, exception
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _move(self, step: int) -> None:
        now = time.perf_counter()
        if self._bar is None or now - self._shown < _REFRESH_SECONDS:
            return
        self._shown = now
        self._bar.update(self._bar.task_ids[0], completed=step, **self._fields())

    def _say(self, step: int, total: int) -> None:
        part, now = step * _LINES // max(total, 1), time.perf_counter()
        if part > self._said or now > self._shown + _LINE_SECONDS:
            self._said, self._shown = part, now
            text = f"{self.title}  step {step}/{total}  {self._figures()}"
            self.console.print(text, highlight=False, soft_wrap=True)

    def _fields(self) -> dict[str, Any]:
        """The figures of the bar, as wide at every step: else the line would jump."""
        latest = self.monitor.latest
        loss, norms = "", ""
        if latest:
            loss = f"loss {latest['train/loss']:>9.4g}"
            raw, clipped = latest["grad/raw_norm"], latest["grad/clipped_norm"]
            norms = f"|grad| {raw:>8.3g} → {clipped:>8.3g}"
        rate = _pace(self._rate, 5) if self._rate else ""
        return {
            name: f"{text:<{_WIDTHS[name]}}"
            for name, text in zip(_WIDTHS, (loss, norms, rate), strict=True)
        }

    def _figures(self) -> str:
        latest = self.monitor.latest
        if not latest:
            return ""
        norms = f"{latest['grad/raw_norm']:.3g} → {latest['grad/clipped_norm']:.3g}"
        rate = f"  {_pace(self._rate)}" if self._rate else ""
        return f"loss {latest['train/loss']:.4g}  |grad| {norms}{rate}"


def _pace(rate: float, width: int = 0) -> str:
    # A slow run is told from one that stands still.
    if rate < _SLOW:
        return f"{1 / rate:>{width}.0f} s/step"
    figure = f"{rate:.0f}" if rate >= _WHOLE else f"{rate:.2g}"
    return f"{figure:>{width}} steps/s"


def make_bar(console: Console, title: str, total: int) -> Progress:
    """Make a bar of what a terminal has room for.

    Args:
        console: the terminal.
        title: the run's name.
        total: steps.

    Returns:
        Step and time left in any case; of the rest the bar is left out first, then the title.
    """
    count = 2 * len(str(total)) + 1
    widths = {"title": cell_len(title), "bar": _BAR, "count": count, **_WIDTHS, "left": _LEFT}
    for name in ("bar", "title", "rate", "norms", "loss"):
        if sum(widths.values()) + len(widths) - 1 <= console.width:
            break
        del widths[name]
    columns: dict[str, ProgressColumn] = {
        "title": TextColumn("{task.description}", markup=False),
        "bar": BarColumn(bar_width=_BAR),
        "count": MofNCompleteColumn(),
        "left": TimeRemainingColumn(),
        **{name: TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in _WIDTHS},
    }
    return Progress(*(columns[name] for name in widths), console=console)
