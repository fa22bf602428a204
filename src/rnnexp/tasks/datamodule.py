"""A task's batches as Lightning takes them."""

from pytorch_lightning import LightningDataModule

from rnnexp.tasks.contract import Pattern, Task
from rnnexp.tasks.stream import BatchStream


class TaskData(LightningDataModule):
    """The three splits of a task; training sequences in windows under truncated BPTT.

    Args:
        task: where the batches come from.
        pattern: whether targets stand at every step or once per sequence.
        window: steps per training window; None for whole sequences.
        test_tasks: the task at further lengths, to test on, never trained on.
    """

    def __init__(
        self,
        task: Task,
        pattern: Pattern,
        window: int | None = None,
        test_tasks: tuple[Task, ...] = (),
    ) -> None:
        super().__init__()
        self.task = task
        self.pattern: Pattern = pattern
        self.window = window
        self.test_tasks = test_tasks

    def train_dataloader(self) -> BatchStream:
        """Training batches, on and on."""
        return BatchStream(self.task, "train", self.pattern, self.window)

    def val_dataloader(self) -> BatchStream:
        """Whole validation sequences."""
        return BatchStream(self.task, "val", self.pattern)

    def test_dataloader(self) -> list[BatchStream]:
        """Whole test sequences: of the task's length first, then of the unseen lengths."""
        return [BatchStream(t, "test", self.pattern) for t in (self.task, *self.test_tasks)]
