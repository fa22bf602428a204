import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rnnexp.errors import ConfigError
from rnnexp.tasks import Split, StoredTask, register_task
from rnnexp.tasks.labelled import Labelled, ended_together, read_labelled
from rnnexp.tasks.stored import parts_by_class
from rnnexp.tasks.table import Array, Values

MANY = 4
"""Sequences of a class that leave one for each split."""
BLOCK = 1024
"""So many sequences are computed with at once in float64."""
DRAWN_STEPS = 128
"""T of the sequences that are made here."""


@register_task("labelled")
class LabelledSequences(StoredTask):
    """Classify sequences of one's own: of which class is each?

        x_t = (value_t - mean) / deviation     of each feature, over the training sequences
        y   = the class                        read after the last step

    A shorter sequence ends with the others and begins later, after zeros. Split 70 : 15 : 15 within
    each class, the same for every seed; where the test sequences are given, 85 : 15 of the others
    train and validate. Guessing by how often a class occurs in training is the baseline. By default
    the sequences are 900 of 128 steps, made here:

        x_t = (6 + e) s_t + e_t     a <= t <= b, else e_t
        s_t = 1 (cylinder) | (t-a)/(b-a) (bell) | (b-t)/(b-a) (funnel)
        a ~ U{16..32}    b - a ~ U{32..96}    e, e_t ~ N(0, 1)

    Args:
        path: a text file with a sequence a line, its class first, then its values (comma,
            semicolon or tab), as the UCR archive has them; or a .npz file with x of shape (N, T) or
            (N, T, I) and y of shape (N,), and with x_test and y_test or without. Classes are
            compared as numbers where all of them are, else as texts.
        test_path: a text file of the sequences to test on; null tests on some of ``path``.
        permuted: shuffle the steps, the same way for every sequence.

    Source: UCR archive: Dau et al. 2019; cylinder, bell, funnel: Saito 1994, "Local feature
        extraction and its applications"; permuted steps: Le et al. 2015.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        path: str | None = None,
        test_path: str | None = None,
        permuted: bool = False,
        batch_size: int = 32,
    ) -> None:
        super().__init__(seed, batch_size=batch_size)
        self._given = _given(path, test_path, _changed(path), _changed(test_path))
        self.permuted = permuted
        self.length = self._given.inputs_NTI.shape[1]

    @property
    def input_size(self) -> int:
        """The features of a step."""
        return self._given.inputs_NTI.shape[2]

    @property
    def output_size(self) -> int:
        """The classes."""
        return len(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs."""
        return self._given.names

    @property
    def baseline(self) -> float:
        """Guessing on the validation sequences."""
        return self.baseline_of("val")

    def baseline_of(self, split: Split) -> float:
        """Say what guessing by the shares of the classes in training costs.

        Args:
            split: whose sequences.
        """
        given, count = self._given, self.output_size
        trained_K = torch.bincount(given.classes_N[given.parts["train"]], minlength=count)
        judged_K = torch.bincount(given.classes_N[given.parts[split]], minlength=count)
        shares_K = trained_K.double() / trained_K.sum()
        return float(-(judged_K * shares_K.log()).nansum() / judged_K.sum())

    @property
    def facts(self) -> dict[str, str]:
        """Which sequences they were, and by what they are scaled."""
        given = self._given
        return {
            "labelled.sha256": given.sha256,
            "labelled.sequences": str(len(given.classes_N)),
            "labelled.classes": ", ".join(given.names),
            "labelled.mean": ", ".join(f"{value:.9g}" for value in given.mean_I),
            "labelled.deviation": ", ".join(f"{value:.9g}" for value in given.deviation_I),
        }

    def encode(self, sequences: Sequence[ArrayLike]) -> Tensor:
        """Make of sequences what the network reads; zeros stand before a shorter one.

        Args:
            sequences: B of them, in units of the file, each of shape (T,) or (T, I).

        Returns:
            inputs_TBI, of as many steps as in training.
        """
        given = self._given
        values_NTI = ended_together(sequences, self.length, self.input_size)
        scaled_NTI = torch.from_numpy((values_NTI - given.mean_I) / given.deviation_I)
        return self._ordered(scaled_NTI.nan_to_num(0.0).float()).transpose(0, 1)

    def parts(self, classes_N: Tensor) -> Mapping[Split, Tensor]:
        """Say who trains; those that are given for the test are tested."""
        del classes_N
        return self._given.parts

    def sequences(self) -> tuple[Tensor, Tensor]:
        """Give the values, scaled; their steps are shuffled where that is asked for."""
        return self._ordered(self._given.inputs_NTI), self._given.classes_N

    def _ordered(self, inputs_NTI: Tensor) -> Tensor:
        if not self.permuted:
            return inputs_NTI
        order_T = torch.randperm(self.length, generator=torch.Generator().manual_seed(0))
        return inputs_NTI[:, order_T]


class _Given(NamedTuple):
    inputs_NTI: Tensor
    classes_N: Tensor
    names: tuple[str, ...]
    parts: Mapping[Split, Tensor]
    sha256: str
    mean_I: Values
    deviation_I: Values


def _changed(path: str | None) -> int | None:
    try:
        return None if path is None else Path(path).expanduser().stat().st_mtime_ns
    except (OSError, ValueError, RuntimeError):
        return None  # reading it will say why


@lru_cache(maxsize=2)
def _given(path: str | None, test_path: str | None, *changed: int | None) -> _Given:
    del changed  # with it, the jobs of a sweep read and scale a file once
    read, classes_N = _read(path, test_path)
    parts = _shared_out(classes_N, read.tested)
    _check_enough(read.names, classes_N, parts)
    with np.errstate(all="ignore"):  # what is not finite is refused below
        moments = _moments(read.values_NTI[parts["train"].numpy()])
        inputs_NTI = _scaled(read.values_NTI, *moments)
    return _Given(inputs_NTI, classes_N, read.names, parts, _digest_of(read), *moments)


def _digest_of(read: Labelled) -> str:
    digest = hashlib.sha256()
    for _, block_NTI in _blocks(read.values_NTI):
        digest.update(block_NTI.tobytes())
    digest.update(read.classes_N.tobytes())
    return digest.hexdigest()


def _read(path: str | None, test_path: str | None) -> tuple[Labelled, Tensor]:
    if path is None and test_path is not None:
        raise ConfigError(f"task.test_path={test_path}: needs a task.path to train on.")
    read = cylinder_bell_funnel(300) if path is None else read_labelled(path, test_path)
    return read, torch.from_numpy(read.classes_N)


def _shared_out(classes_N: Tensor, tested: int) -> Mapping[Split, Tensor]:
    if not tested:
        return parts_by_class(classes_N)
    first = len(classes_N) - tested
    parts = parts_by_class(classes_N[:first], {"val": 0.15, "test": 0.0})
    return {**parts, "test": torch.arange(first, len(classes_N))}


def _check_enough(names: Sequence[str], classes_N: Tensor, parts: Mapping[Split, Tensor]) -> None:
    if len(names) < 2:
        raise ConfigError(f"task.path: all sequences are of the class '{names[0]}'.")
    for split, rows in parts.items():
        if not len(rows):
            raise ConfigError(
                f"task.path: of {len(classes_N)} sequences of {len(names)} classes none is left "
                f"for {split}; {MANY} of a class are enough."
            )
    trained_K = torch.bincount(classes_N[parts["train"]], minlength=len(names))
    if not trained_K.all():
        name = names[int(trained_K.argmin())]
        raise ConfigError(f"task.test_path: the class '{name}' is in no training sequence.")


def _blocks(values_NTI: Array) -> Iterator[tuple[slice, Values]]:
    # All of a large file in float64 would take many times its own memory.
    for first in range(0, len(values_NTI), BLOCK):
        rows = slice(first, first + BLOCK)
        yield rows, values_NTI[rows].astype(np.float64)


def _scaled(values_NTI: Array, mean_I: Values, deviation_I: Values) -> Tensor:
    scaled_NTI = np.empty(values_NTI.shape, np.float32)
    bad_I = ~np.isfinite(deviation_I)
    for rows, block_NTI in _blocks(values_NTI):
        scaled_NTI[rows] = (block_NTI - mean_I) / deviation_I
        lost_NTI = np.isfinite(block_NTI) & ~np.isfinite(scaled_NTI[rows])
        bad_I |= lost_NTI.any((0, 1))
    if bad_I.any():
        i = int(bad_I.argmax())
        largest = np.nanmax(np.abs(values_NTI[..., i].astype(np.float64)))
        raise ConfigError(
            f"task.path: feature {i + 1} reaches {largest:.3g} and "
            f"cannot be scaled by the mean {mean_I[i]:.3g} and the deviation {deviation_I[i]:.3g} "
            "of training. Mend its values, or give them in another unit."
        )
    return torch.from_numpy(scaled_NTI).nan_to_num_(0.0)


def _moments(values_NTI: Array) -> tuple[Values, Values]:
    known_I = (~np.isnan(values_NTI)).sum((0, 1))
    mean_I = sum(np.nansum(block, (0, 1)) for _, block in _blocks(values_NTI)) / known_I
    squares = (np.nansum((block - mean_I) ** 2, (0, 1)) for _, block in _blocks(values_NTI))
    # The deviation of a constant is not 0 but what its mean was rounded by.
    constant_I = np.nanmax(values_NTI, (0, 1)) == np.nanmin(values_NTI, (0, 1))
    return mean_I, np.where(constant_I, 1.0, np.sqrt(sum(squares) / known_I))


def cylinder_bell_funnel(each: int) -> Labelled:
    """Draw the three shapes, always alike.

    Args:
        each: how many of each.
    """
    rng = torch.Generator().manual_seed(0)
    a_N1 = torch.randint(16, 33, (3 * each, 1), generator=rng)
    b_N1 = a_N1 + torch.randint(32, 97, (3 * each, 1), generator=rng)
    height_N1 = 6 + torch.randn(3 * each, 1, generator=rng)
    t_T = torch.arange(DRAWN_STEPS)
    rise_NT = (t_T - a_N1) / (b_N1 - a_N1)
    classes_N = torch.arange(3).repeat_interleave(each)
    kind_N1 = classes_N.unsqueeze(-1)
    shape_NT = torch.where(kind_N1 == 0, 1.0, torch.where(kind_N1 == 1, rise_NT, 1 - rise_NT))
    inside_NT = (t_T >= a_N1) & (t_T <= b_N1)
    noise_NT = torch.randn(3 * each, DRAWN_STEPS, generator=rng)
    values_NT = (height_N1 * shape_NT).where(inside_NT, 0.0) + noise_NT
    values_NTI = values_NT.unsqueeze(-1).double().numpy()
    return Labelled(values_NTI, classes_N.numpy(), ("cylinder", "bell", "funnel"), 0)
