"""The contract of a task. The tasks themselves are plugins: see ``plugins/tasks``."""

from rnnexp.registry import register_task
from rnnexp.tasks.classes import IGNORED, accuracy, cross_entropy, one_hot
from rnnexp.tasks.contract import SPLITS, Batch, GeneratedTask, Pattern, Split, Task, batch_seed
from rnnexp.tasks.stored import StoredTask

__all__ = [
    "IGNORED",
    "SPLITS",
    "Batch",
    "GeneratedTask",
    "Pattern",
    "Split",
    "StoredTask",
    "Task",
    "accuracy",
    "batch_seed",
    "cross_entropy",
    "one_hot",
    "register_task",
]
