"""Teacher forcing where the output alone carries the past: all T at once, or one after the other.

Claim: the parallel way is faster than the sequential unroll at every size, and has its gradients.
Both feed the targets back; forward and backward, float32. They run in turns, and the shortest of
many repetitions counts. The table goes to ``results/feeding.md``.
"""

import time

import torch
from torch import Tensor, nn

from benchmarks.machine import keep, table
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import REGISTRY

SIZES = [
    (50, 32, 2, 32),
    (100, 32, 32, 64),
    (100, 32, 128, 256),
    (784, 32, 1, 128),
    (1000, 8, 8, 64),
]
SECONDS = 2.0
WAYS = {"parallel": "parallel", "sequential": "loop"}


def network_of(size: tuple[int, int, int, int], backend: str) -> RecurrentNetwork:
    """Make a network whose hidden units see no past but the output."""
    _, _, width, units = size
    cls = REGISTRY.get("cell", "jordan").cls
    torch.manual_seed(0)
    return RecurrentNetwork(
        lambda inputs: cls(inputs, hidden_size=units), width, width, feedback=True, backend=backend
    )


def one(network: RecurrentNetwork, x_TBI: Tensor, targets_TBO: Tensor) -> float:
    """Time one forward and backward pass."""
    network.zero_grad()
    begun = time.perf_counter()
    outputs_TBO, _ = network(x_TBI, targets_TBO=targets_TBO)
    nn.functional.mse_loss(outputs_TBO, targets_TBO).backward()
    return time.perf_counter() - begun


def row(threads: int, size: tuple[int, int, int, int]) -> list[str]:
    """Measure one size, and compare the gradients."""
    steps, rows, width, _ = size
    x_TBI, targets_TBO = torch.randn(steps, rows, width), torch.randn(steps, rows, width)
    networks = {way: network_of(size, backend) for way, backend in WAYS.items()}
    best = dict.fromkeys(networks, float("inf"))
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for way, network in networks.items():
            best[way] = min(best[way], one(network, x_TBI, targets_TBO))
    grads = [[p.grad for p in network.parameters()] for network in networks.values()]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-6)
    times = [f"{best[way] * 1e3:.2f}" for way in WAYS]
    faster = best["sequential"] / best["parallel"]
    return [str(threads), ", ".join(map(str, size)), *times, f"{faster:.1f}"]


def main() -> None:
    """Measure, print the table, and write it to a file."""
    load_plugins()
    rows: list[list[str]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rows += [row(threads, size) for size in SIZES]
    head = ["threads", "T, B, I = O, H", "parallel, ms", "sequential, ms", "times faster"]
    keep("feeding", "# Teacher forcing of `jordan`: time of a step\n\n" + table(head, rows))


if __name__ == "__main__":
    main()
