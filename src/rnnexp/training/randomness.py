"""The states of all random number generators, as tensors and numbers that load without code."""

import random
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """Take the states of torch (CPU and CUDA), numpy and Python."""
    version, words, gauss = random.getstate()
    state: Any = np.random.get_state(legacy=True)
    name, keys, position, has_gauss, cached = state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [str(name), torch.tensor(keys.astype(np.int64)), int(position), int(has_gauss)],
        "numpy_cached": float(cached),
        "python": [version, torch.tensor(words), gauss],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put the states of `random_states` back."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, position, has_gauss = states["numpy"]
    words = keys.numpy().astype(np.uint32)
    np.random.set_state((name, words, position, has_gauss, states["numpy_cached"]))
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
