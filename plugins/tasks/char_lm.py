import hashlib
import math
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.recurrence import Feed, NetworkState, RecurrentNetwork
from rnnexp.tasks import (
    IGNORED,
    Batch,
    Split,
    Task,
    accuracy,
    batch_seed,
    cross_entropy,
    one_hot,
    register_task,
)
from rnnexp.tasks.files import reading

SHARES = {"train": 0.9, "val": 0.05, "test": 0.05}
SAMPLED = 500
"""Characters of the free-running sample."""


@register_task("char_lm")
class CharLM(Task):
    """A character language model: predict each next character of a text.

        x_t = one-hot of character t,   y_t = character t + 1
        loss = -mean log p(y_t | x_1..x_t)   nats; bits per character = loss / ln 2

    The text is cut into ``batch_size`` rows that are read side by side, ``length`` characters a
    step of training; the state is carried on, the gradient is cut (truncated BPTT). By default the
    text is Python's own documentation of its language, 0.37 million characters, which every
    installation of Python holds; paragraphs that its sections repeat are read once, so that none
    that is tested was trained on. The first 90 % train, then 5 % validate and 5 % test: each
    character of these is judged once, but for the first, which follows on nothing; of a long text a
    validation judges the first ``val_characters`` of its part, the test all of its own. In each of
    the ``batch_size`` rows the network begins without a past. The baseline predicts each character
    by its frequency in the training text.

    Args:
        path: a text file in UTF-8; null reads Python's documentation.
        length: characters per window.
        inputs: none shows the network nothing but what is fed back (``model.feedback=output``):
            under teacher forcing the same likelihood, running free a text of its own.
        val_characters: how many a validation judges at most: 5 % of 2 million, by default.
    """

    targets_as_inputs = True
    carries_state = True

    def __init__(
        self,
        seed: int = 0,
        *,
        path: str | None = None,
        length: int = 50,
        inputs: Literal["characters", "none"] = "characters",
        val_characters: int = 100_000,
        batch_size: int = 32,
    ) -> None:
        super().__init__(seed, batch_size=batch_size)
        if length < 1:
            raise ConfigError(f"task.length: must be at least 1, got {length}.")
        if val_characters < 2 * batch_size:
            raise ConfigError(
                f"task.val_characters: must be at least 2 for each of the {batch_size} rows of a "
                f"batch, {2 * batch_size}, got {val_characters}."
            )
        self.path = path
        self.length = length
        self.inputs = inputs
        self.val_characters = val_characters
        self._text = _read(path)
        row = {"train": length + 1, "val": 2, "test": 2}
        least = max(math.ceil(batch_size * row[split] / SHARES[split]) for split in SHARES)
        if len(self._text) < least:
            raise ConfigError(
                f"task.path: {len(self._text)} characters are too few for batches of {batch_size} "
                f"rows of {length}; {least} are needed. Lower task.batch_size or task.length."
            )

    @property
    def input_size(self) -> int:
        """One-hot of a character, or nothing."""
        return len(self._alphabet) if self.inputs == "characters" else 0

    @property
    def output_size(self) -> int:
        """The next character."""
        return len(self._alphabet)

    @property
    def baseline(self) -> float:
        """The baseline of the validation text."""
        return self.baseline_of("val")

    def baseline_of(self, split: Split) -> float:
        """Say the cross-entropy of what is judged of a split by the character frequencies.

        Args:
            split: whose characters; those of ``train`` give the frequencies.
        """
        return self._baselines[split]

    @cached_property
    def _baselines(self) -> dict[str, float]:
        counts_V = torch.bincount(self._codes["train"], minlength=self.output_size) + 1.0
        costs_V = -(counts_V / counts_V.sum()).log()
        return {split: float(costs_V[codes_N[1:]].mean()) for split, codes_N in self._codes.items()}

    @property
    def facts(self) -> dict[str, str]:
        """Which text it was: Python's documentation differs by version."""
        return {
            "text.sha256": hashlib.sha256(self._text.encode()).hexdigest(),
            "text.characters": str(len(self._text)),
            "text.alphabet": str(self.output_size),
        }

    def num_batches(self, split: Split) -> int:
        """Count the windows in a row of the text; of training they are whole ones."""
        if split == "train":
            return (len(self._codes[split]) // self.batch_size - 1) // self.length
        return math.ceil(self._judged(split) / self.length)

    def batch(self, split: Split, index: int) -> Batch:
        """Take a window of every row; each training epoch begins at another character."""
        epoch, number = divmod(index, self.num_batches(split))
        rows_BN = self._rolled_rows(epoch) if split == "train" else self._judged_rows(split)
        begin = number * self.length
        window_TB = rows_BN[:, begin : begin + self.length + 1].T
        return Batch(self._shown(window_TB[:-1]), window_TB[1:], fresh=number == 0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, nats per character."""
        return cross_entropy(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Bits per character, and the share of characters guessed right."""
        bits = cross_entropy(outputs, targets) / math.log(2)
        return {"bits_per_character": bits, "accuracy": accuracy(outputs, targets)}

    def encode_target(self, targets: Tensor) -> Tensor:
        """One-hot of the character."""
        return one_hot(targets, self.output_size)

    def encode_output(self, outputs_BO: Tensor) -> Tensor:
        """One-hot of the likeliest character."""
        return one_hot(outputs_BO.argmax(-1), self.output_size)

    def samples(self, network: nn.Module) -> dict[str, str]:
        """Let the network write: each character is drawn from what it predicts, then read."""
        assert isinstance(network, RecurrentNetwork)
        return {"sample.txt": self._write(network)}

    @torch.no_grad()
    def _write(self, network: RecurrentNetwork) -> str:
        rng = torch.Generator().manual_seed(self.seed)
        like = network.readout.weight
        code = self._codes["val"][:1]
        state = network.initial_state((1,))
        written: list[int] = []
        for _ in range(SAMPLED):
            x_1BI = self._shown(code.unsqueeze(0)).to(like)
            logits_1BV, state = network(x_1BI, state, feed=Feed.free())
            code = torch.multinomial(logits_1BV[0].float().softmax(-1).cpu(), 1, generator=rng)[0]
            state = self._feed_back(state, code)
            written.append(int(code))
        return "".join(self._alphabet[code] for code in written) + "\n"

    def _shown(self, codes_TB: Tensor) -> Tensor:
        if self.inputs == "none":
            return torch.zeros(*codes_TB.shape, 0)
        return one_hot(codes_TB, self.output_size)

    def _feed_back(self, state: NetworkState, code: Tensor) -> NetworkState:
        if state.fed_back_BO is None:
            return state
        own_BO = one_hot(code, self.output_size).to(state.fed_back_BO)
        return NetworkState(state.layers, own_BO)

    def _rolled_rows(self, epoch: int) -> Tensor:
        codes_N = self._codes["train"]
        codes_N = codes_N.roll(batch_seed(self.seed, "train", epoch) % len(codes_N))
        used = len(codes_N) // self.batch_size * self.batch_size
        return codes_N[:used].view(self.batch_size, -1)

    def _judged_rows(self, split: Split) -> Tensor:
        # A row ends with the character that the next begins with: it is judged here, read there.
        codes_N, steps = self._codes[split], self._judged(split)
        missing = self.batch_size * steps + 1 - len(codes_N)
        return nn.functional.pad(codes_N, (0, missing), value=IGNORED).unfold(0, steps + 1, steps)

    def _judged(self, split: Split) -> int:
        return math.ceil((len(self._codes[split]) - 1) / self.batch_size)

    @cached_property
    def _alphabet(self) -> list[str]:
        return sorted(set(self._text))

    @cached_property
    def _codes(self) -> dict[str, Tensor]:
        code_of = {character: code for code, character in enumerate(self._alphabet)}
        codes_N = torch.tensor([code_of[character] for character in self._text])
        ends = [round(len(codes_N) * share) for share in (0.9, 0.95)]
        train_N, val_N, test_N = codes_N.tensor_split(ends)
        return {"train": train_N, "val": val_N[: self.val_characters + 1], "test": test_N}


def _read(path: str | None) -> str:
    if path is None:
        from pydoc_data.topics import topics

        # Sections quote each other at length: a paragraph stands where it is met first.
        paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
        return "\n\n".join(dict.fromkeys(paragraphs))
    with reading("task.path", path, "text in UTF-8") as file:
        return file.read_text(encoding="utf-8")
