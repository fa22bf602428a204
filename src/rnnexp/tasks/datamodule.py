"""A task's batches as Lightning takes them."""

from pytorch_lightning import LightningDataModule

from rnnexp.tasks.contract import Pattern, Task
from rnnexp.tasks.stream import WHOLE, BatchStream, Share


class TaskData(LightningDataModule):
    """The three splits of a task; training windows under truncated BPTT, see `BatchStream`.

    Args:
        task: where the batches come from.
        pattern: whether targets stand at every step or once per sequence.
        window: steps per training window; None for whole sequences.
        test_tasks: the task at further lengths, to test on, never trained on.
        share: which rows of every batch this process takes.
    """

    def __init__(
        self,
        task: Task,
        pattern: Pattern,
        window: int | None = None,
        test_tasks: tuple[Task, ...] = (),
        share: Share = WHOLE,
    ) -> None:
        super().__init__()
        self.task = task
        self.pattern: Pattern = pattern
        self.window = window
        self.test_tasks = test_tasks
        self.share = share

    def train_dataloader(self) -> BatchStream:
        """Training batches, on and on."""
        return BatchStream(self.task, "train", self.pattern, self.window, self.share)

    def val_dataloader(self) -> BatchStream:
        """Whole validation sequences."""
        return BatchStream(self.task, "val", self.pattern, share=self.share)

    def test_dataloader(self) -> list[BatchStream]:
        """Whole test sequences: of the task's length first, then of the unseen lengths."""
        tasks = (self.task, *self.test_tasks)
        return [BatchStream(t, "test", self.pattern, share=self.share) for t in tasks]
