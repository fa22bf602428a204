from math import log
from statistics import fmean
from typing import Any, cast

import torch
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.tasks import IGNORED, Batch, GeneratedTask, Task, one_hot, register_task


@register_task("counting")
class Counting(GeneratedTask):
    """Languages that one has to count for: a^n b^n, a^n b^n c^n, and so on.

        x = a .. a b .. b c .. c, each n times, then nothing     n ~ U{1..N}, one-hot
        y = the next symbol, or the end                          judged from the first b on

    N is ``length``, and a sequence has N steps for each symbol. There is but one string for each n:
    train, val and test have the same N, and do not tell counting from knowing them by heart. At one
    of ``test_lengths`` above N, L, all are unseen: n ~ U{N+1..L}.

    From the first b on the next symbol is certain for who counted; each string weighs the same. Who
    sees no more than the symbol that is shown expects another one next with p, the mean of 1/n, and
    pays the entropy -p ln p - (1-p) ln(1-p) nats a symbol, the baseline.

    Args:
        symbols: how many different ones a string has, 2 or more.

    Source: Gers & Schmidhuber 2001, "LSTM recurrent networks learn simple context-free and
        context-sensitive languages", who train on n up to 10 and test on larger ones.
    """

    shortest = 2
    smallest = 1
    """The smallest n."""

    def __init__(self, seed: int = 0, *, symbols: int = 2, **options: Any) -> None:
        if symbols < 2:
            raise ConfigError(f"task.symbols: must be at least 2, got {symbols}.")
        self.symbols = symbols
        super().__init__(seed, **options)

    def set_length(self, length: int) -> None:
        """Set the largest n; a sequence has that many steps for each symbol."""
        self.largest = length
        self.length = length * self.symbols

    def test_tasks(self) -> tuple[Task, ...]:
        """List the same task at lengths that are tested only: beyond N, with larger n only."""
        others = cast("tuple[Counting, ...]", super().test_tasks())
        for other in others:
            other.smallest = self.largest + 1 if other.largest > self.largest else 1
        return others

    @property
    def input_size(self) -> int:
        """One-hot of the symbols."""
        return self.symbols

    @property
    def output_size(self) -> int:
        """The symbols and the end."""
        return self.symbols + 1

    @property
    def baseline(self) -> float:
        """The entropy of whether another symbol comes next."""
        p = fmean(1 / n for n in range(self.smallest, self.largest + 1))
        return -p * log(p) - (1 - p) * log(1 - p)

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw n of each string; step t shows symbol number t // n."""
        size = (self.batch_size,)
        n_B = torch.randint(self.smallest, self.largest + 1, size, generator=rng)
        t_T1 = torch.arange(self.length).unsqueeze(-1)
        shown_TB, next_TB = t_T1 // n_B, (t_T1 + 1) // n_B
        inside_TB = shown_TB < self.symbols
        certain_TB = inside_TB & (shown_TB > 0)
        inputs_TBI = one_hot(shown_TB.where(inside_TB, IGNORED), self.symbols)
        return inputs_TBI, next_TB.where(certain_TB, IGNORED)

    def weight_of(self, batch: Batch) -> int:
        """Count the strings."""
        return batch.inputs_TBI.shape[1]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, nats per symbol of a string, the mean over the strings."""
        costs_TB = nn.functional.cross_entropy(
            outputs.movedim(-1, 1), targets, ignore_index=IGNORED, reduction="none"
        )
        judged_B = (targets != IGNORED).sum(0).clamp(min=1)  # a window may have none of a string
        return (costs_TB.sum(0) / judged_B).mean()

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Share of the strings that are right from the first b to the end."""
        right_TB = (outputs.argmax(-1) == targets) | (targets == IGNORED)
        return {"accuracy": right_TB.all(0).float().mean()}
