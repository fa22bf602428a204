import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rnnexp.errors import ConfigError
from rnnexp.tasks import Split, StoredTask, register_task
from rnnexp.tasks.labelled import Labelled, read_labelled
from rnnexp.tasks.stored import parts_by_class

MANY = 4
"""Sequences of a class that leave one for each split."""


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
            (N, T, I) and y of shape (N,), and with x_test and y_test or without.
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
        self._classes_N = torch.from_numpy(self._given.classes_N)
        self.length = self._given.values_NTI.shape[1]
        self._parts = self.parts(self._classes_N)
        self._check_enough()

    @property
    def input_size(self) -> int:
        """The features of a step."""
        return self._given.values_NTI.shape[2]

    @property
    def output_size(self) -> int:
        """The classes."""
        return len(self._given.names)

    @property
    def baseline(self) -> float:
        """Guessing on the validation sequences."""
        return self.baseline_of("val")

    def baseline_of(self, split: Split) -> float:
        """Say what guessing by the shares of the classes in training costs.

        Args:
            split: whose sequences.
        """
        classes_N, count = self._classes_N, self.output_size
        trained_K = torch.bincount(classes_N[self._parts["train"]], minlength=count)
        judged_K = torch.bincount(classes_N[self._parts[split]], minlength=count)
        shares_K = trained_K.double() / trained_K.sum()
        return float(-(judged_K * shares_K.log()).nansum() / judged_K.sum())

    @property
    def facts(self) -> dict[str, str]:
        """Which sequences they were."""
        given = self._given
        digest = hashlib.sha256(given.values_NTI.tobytes() + given.classes_N.tobytes())
        return {
            "labelled.sha256": digest.hexdigest(),
            "labelled.sequences": str(len(given.classes_N)),
            "labelled.classes": ", ".join(given.names),
        }

    def parts(self, classes_N: Tensor) -> dict[Split, Tensor]:
        """Share the sequences out; those that are given for the test are tested."""
        if not self._given.tested:
            return parts_by_class(classes_N)
        first = len(classes_N) - self._given.tested
        parts = parts_by_class(classes_N[:first], {"val": 0.15, "test": 0.0})
        return {**parts, "test": torch.arange(first, len(classes_N))}

    def sequences(self) -> tuple[Tensor, Tensor]:
        """Scale the values, and shuffle the steps where that is asked for."""
        values_NTI = self._given.values_NTI
        trained = values_NTI[self._parts["train"].numpy()]
        mean_I, deviation_I = np.nanmean(trained, (0, 1)), np.nanstd(trained, (0, 1))
        deviation_I[deviation_I == 0] = 1
        scaled_NTI = torch.from_numpy((values_NTI - mean_I) / deviation_I).float().nan_to_num(0.0)
        if self.permuted:
            order_T = torch.randperm(self.length, generator=torch.Generator().manual_seed(0))
            scaled_NTI = scaled_NTI[:, order_T]
        return scaled_NTI, self._classes_N

    def _check_enough(self) -> None:
        names = self._given.names
        if len(names) < 2:
            raise ConfigError(f"task.path: all sequences are of the class '{names[0]}'.")
        for split, rows in self._parts.items():
            if not len(rows):
                raise ConfigError(
                    f"task.path: of {len(self._classes_N)} sequences of {len(names)} classes none "
                    f"is left for {split}; {MANY} of a class are enough."
                )
        trained_K = torch.bincount(self._classes_N[self._parts["train"]], minlength=len(names))
        if not trained_K.all():
            name = names[int(trained_K.argmin())]
            raise ConfigError(f"task.test_path: the class '{name}' is in no training sequence.")


def _changed(path: str | None) -> int | None:
    try:
        return None if path is None else Path(path).expanduser().stat().st_mtime_ns
    except OSError:
        return None  # reading it will say why


@lru_cache(maxsize=2)
def _given(path: str | None, test_path: str | None, *changed: int | None) -> Labelled:
    del changed  # with it, the jobs of a sweep read a file once
    if path is not None:
        return read_labelled(path, test_path)
    if test_path is not None:
        raise ConfigError(f"task.test_path={test_path}: needs a task.path to train on.")
    return cylinder_bell_funnel(300)


def cylinder_bell_funnel(each: int, steps: int = 128) -> Labelled:
    """Draw the three shapes, always alike.

    Args:
        each: how many of each.
        steps: T.
    """
    rng = torch.Generator().manual_seed(0)
    a_N1 = torch.randint(16, 33, (3 * each, 1), generator=rng)
    b_N1 = a_N1 + torch.randint(32, 97, (3 * each, 1), generator=rng)
    height_N1 = 6 + torch.randn(3 * each, 1, generator=rng)
    t_T = torch.arange(steps)
    rise_NT = (t_T - a_N1) / (b_N1 - a_N1)
    classes_N = torch.arange(3).repeat_interleave(each)
    kind_N1 = classes_N.unsqueeze(-1)
    shape_NT = torch.where(kind_N1 == 0, 1.0, torch.where(kind_N1 == 1, rise_NT, 1 - rise_NT))
    inside_NT = (t_T >= a_N1) & (t_T <= b_N1)
    noise_NT = torch.randn(3 * each, steps, generator=rng)
    values_NT = (height_N1 * shape_NT).where(inside_NT, 0.0) + noise_NT
    values_NTI = values_NT.unsqueeze(-1).double().numpy()
    return Labelled(values_NTI, classes_N.numpy(), ("cylinder", "bell", "funnel"), 0)
