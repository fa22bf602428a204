import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rnnexp.recurrence.generators import generators_kept


def test_that_of_the_gpu_in_use_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    states, device = [7], torch.device("cuda", 1)
    module = SimpleNamespace(
        get_rng_state=lambda of: torch.tensor([of.index, states[-1]]),
        set_rng_state=lambda state, of: states.append(int(state[1])) if of.index == 1 else None,
    )
    monkeypatch.setattr(torch, "get_device_module", lambda kind: module)
    like: Any = SimpleNamespace(device=device, is_cuda=True)
    with generators_kept(like) as drawn:
        assert not drawn()
        states.append(8)
        assert drawn()
    assert states == [7, 8, 7]


DRAWS = {"torch": lambda: torch.rand(()), "python": random.random, "numpy": np.random.rand}


@pytest.mark.parametrize("name", DRAWS)
def test_each_is_kept_and_a_draw_is_told(name: str) -> None:
    after: list[float] = []
    for _ in range(2):
        with generators_kept(torch.zeros(())) as drawn:
            assert not drawn()
            after.append(float(DRAWS[name]()))
            assert drawn()
    assert after[0] == after[1]
