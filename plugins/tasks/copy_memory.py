import math
from typing import Any

import torch
from torch import Tensor

from rnnexp.errors import ConfigError
from rnnexp.tasks import GeneratedTask, accuracy, cross_entropy, one_hot, register_task


@register_task("copy_memory")
class CopyMemory(GeneratedTask):
    """The copy memory problem: repeat symbols after a delay of T steps.

        x = s_1 .. s_K, T - 1 blanks, a marker, K blanks          T + 2K steps
        y = T + K blanks, s_1 .. s_K                              s_k ~ U{1..N}

    Selective copying spreads the symbols over the steps before the marker, in their order, blanks
    between them: what a step means for the memory depends on what is read there.

    Saying blank until the marker, then guessing, costs K ln(N) / (T + 2K) nats a step, the
    baseline: with no memory nothing does better.

    Args:
        symbols: how many kinds of symbols, N.
        copied: how many symbols are to be repeated, K.
        spread: whether the symbols stand at random steps before the marker, not at the first ones.

    Source: Hochreiter & Schmidhuber 1997; this variant (one-hot, one marker) as in Arjovsky et al.
        2016; selective copying: Gu & Dao 2023, "Mamba: linear-time sequence modeling with selective
        state spaces".
    """

    targets_as_inputs = True

    def __init__(
        self,
        seed: int = 0,
        *,
        symbols: int = 8,
        copied: int = 10,
        spread: bool = False,
        **options: Any,
    ) -> None:
        if symbols < 2 or copied < 1:
            raise ConfigError(
                "task.symbols must be at least 2 and task.copied at least 1, "
                f"got symbols={symbols}, copied={copied}."
            )
        self.symbols, self.copied, self.spread = symbols, copied, spread
        super().__init__(seed, **options)

    def set_length(self, length: int) -> None:
        """Set the delay T; a sequence has T + 2K steps."""
        self.length = length + 2 * self.copied

    @property
    def input_size(self) -> int:
        """Blank, symbols, marker."""
        return self.symbols + 2

    @property
    def output_size(self) -> int:
        """Blank and symbols."""
        return self.symbols + 1

    @property
    def baseline(self) -> float:
        """Blanks are certain, the copied symbols are guessed."""
        return self.copied * math.log(self.symbols) / self.length

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the symbols; blank is class 0, the marker the last input."""
        shape = (self.copied, self.batch_size)
        symbols_KB = torch.randint(1, self.symbols + 1, shape, generator=rng)
        shown_TB = torch.zeros(self.length, self.batch_size, dtype=torch.long)
        shown_TB.scatter_(0, self._steps(rng), symbols_KB)
        shown_TB[-self.copied - 1] = self.symbols + 1
        wanted_TB = torch.zeros_like(shown_TB)
        wanted_TB[-self.copied :] = symbols_KB
        return one_hot(shown_TB, self.input_size), wanted_TB

    def _steps(self, rng: torch.Generator) -> Tensor:
        # Where the symbols stand, in order, shape (K, B).
        if not self.spread:
            return torch.arange(self.copied).unsqueeze(-1).expand(-1, self.batch_size)
        before_marker = self.length - self.copied - 1
        order_TB = torch.rand(before_marker, self.batch_size, generator=rng)
        return order_TB.topk(self.copied, dim=0).indices.sort(0).values

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, nats per step."""
        return cross_entropy(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Share of the copied symbols that are right; guessing gets 1/N."""
        symbols = targets > 0
        return {"accuracy": accuracy(outputs[symbols], targets[symbols])}

    def encode_target(self, targets: Tensor) -> Tensor:
        """One-hot of the class."""
        return one_hot(targets, self.output_size)

    def encode_output(self, outputs_BO: Tensor) -> Tensor:
        """One-hot of the likeliest class."""
        return one_hot(outputs_BO.argmax(-1), self.output_size)
