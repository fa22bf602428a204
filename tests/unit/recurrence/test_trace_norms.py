"""Norms of gradients whose squares are no numbers of float32."""

import pytest
import torch

from rnnexp.recurrence import Trace


@pytest.mark.parametrize("size", [1e-30, 1e-23, 1.0, 1e25])
def test_norms_of_the_size_of_their_gradients(size: float) -> None:
    grad_TBH = torch.full((3, 2, 8), size)
    at_once, by_step = Trace(), Trace()
    at_once.note_all(grad_TBH)
    for t in range(3):
        by_step.note(t, 3, grad_TBH[t])
    for trace in (at_once, by_step):
        assert trace.grad_norm_T is not None
        assert trace.grad_norm_T.dtype == torch.float32
        torch.testing.assert_close(trace.grad_norm_T, torch.full((3,), 4 * size), rtol=1e-6, atol=0)
