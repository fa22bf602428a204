from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rnnexp.recurrence.generators import generators_kept


def test_the_generator_of_the_cpu_is_kept() -> None:
    before = torch.get_rng_state()
    with generators_kept(torch.zeros(())):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_that_of_the_gpu_in_use_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    states, device = [7], torch.device("cuda", 1)
    module = SimpleNamespace(
        get_rng_state=lambda of: (of, states[-1]),
        set_rng_state=lambda state, of: states.append(state[1]) if of == state[0] else None,
    )
    monkeypatch.setattr(torch, "get_device_module", lambda kind: module)
    like: Any = SimpleNamespace(device=device, is_cuda=True)
    with generators_kept(like):
        states.append(8)
    assert states == [7, 8, 7]
