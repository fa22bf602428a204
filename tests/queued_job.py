"""A job that a queue is asked to run, and that no test runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    number: int
    devices: int = 1
    needs_gpu: bool = False
    command: None = None

    @property
    def name(self) -> str:
        return f"job {self.number}"

    @property
    def log(self) -> Path:
        return Path(f"{self.number}.txt")

    @property
    def portable(self) -> Callable[[], int]:
        return int

    def run(self) -> int:
        raise NotImplementedError
