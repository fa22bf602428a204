"""Tasks of sequences in memory: what a subclass may give, and what is refused in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnexp.errors import PluginError
from rnnexp.tasks import Split, StoredTask

INPUTS, CLASSES = torch.ones(20, 3, 2), torch.arange(20) % 2


class Given(StoredTask):
    """Gives what it is given."""

    length, input_size, output_size = 3, 2, 2

    def __init__(self, found: Any, missing: Split | None = None) -> None:
        super().__init__()
        self.found, self.missing = found, missing

    def sequences(self) -> tuple[Tensor, Tensor]:
        """Give it."""
        return self.found

    def parts(self, classes_N: Tensor) -> Mapping[Split, Tensor]:
        """Leave out one."""
        parts = super().parts(classes_N)
        return {split: rows for split, rows in parts.items() if split != self.missing}


def test_other_precisions_are_taken() -> None:
    batch = Given((INPUTS.double(), CLASSES.to(torch.uint8))).batch("val", 0)
    assert (batch.inputs_TBI.dtype, batch.targets.dtype) == (torch.float32, torch.int64)
    assert Given((INPUTS.int(), CLASSES)).batch("val", 0).inputs_TBI.dtype == torch.int32


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "two tensors, inputs and classes, not NoneType"),
        ((INPUTS.numpy(), CLASSES), "two tensors, inputs and classes, not ndarray, Tensor"),
        ((INPUTS, CLASSES, 3), "not Tensor, Tensor, int"),
        ((INPUTS[:, :2], CLASSES), r"shapes are \(N, 3, 2\).* these are \(20, 2, 2\) and \(20,\)"),
        ((INPUTS, CLASSES[:5]), r"these are \(20, 3, 2\) and \(5,\)"),
        ((INPUTS[:0], CLASSES[:0]), r"these are \(0, 3, 2\) and \(0,\)"),
        ((INPUTS, torch.tensor(3)), r"these are \(20, 3, 2\) and \(\)"),
        (
            (INPUTS, CLASSES.double()),
            "whole numbers, but these are torch.float32 and torch.float64",
        ),
        ((INPUTS, CLASSES + 1), r"classes are 0 to 1 \(output_size - 1\), not 1 to 2"),
        ((INPUTS[:2], CLASSES[:2]), "`parts` leaves none of 2 for val"),
    ],
)
def test_what_is_no_set_of_sequences_is_refused(found: Any, words: str) -> None:
    with pytest.raises(PluginError, match=f"Given, its sequences: .*{words}"):
        Given(found).num_batches("train")


def test_each_split_needs_sequences() -> None:
    with pytest.raises(PluginError, match="`parts` leaves none of 20 for test"):
        Given((INPUTS, CLASSES), "test").num_batches("train")
    assert np.isclose(float(Given((INPUTS, CLASSES)).batch("train", 0).inputs_TBI.mean()), 1)
