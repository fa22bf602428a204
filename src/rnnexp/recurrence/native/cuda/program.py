"""Start functions on a GPU, by NVIDIA's own interface of the driver."""

import ctypes
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import torch

from rnnexp.recurrence.inside_torch import current_stream
from rnnexp.recurrence.native.cuda.compiler import CudaError, bindings, built, checked


class Function:
    """A compiled function in the memory of a GPU.

    Args:
        handle: the driver's.
        device: the index of the GPU.
    """

    def __init__(self, handle: Any, device: int) -> None:
        driver, _ = bindings()
        self._handle, self._device, self._driver = handle, device, driver

    def ready(self, threads: int, shared: int, cluster: int) -> int:
        """Allow shared memory, and ask how many clusters can run at the same time.

        Args:
            threads: of a block.
            shared: bytes of a block.
            cluster: blocks of a cluster, as it was compiled.
        """
        with _current(self._device):
            return self._ready(threads, shared, cluster)

    def _ready(self, threads: int, shared: int, cluster: int) -> int:
        driver = self._driver
        most = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        checked(driver.cuFuncSetAttribute, self._handle, most, shared)
        if cluster == 1:
            ask = driver.cuOccupancyMaxActiveBlocksPerMultiprocessor
            blocks = checked(ask, self._handle, threads, shared)
            return blocks * torch.cuda.get_device_properties(self._device).multi_processor_count
        config = driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = cluster, 1, 1
        config.blockDimX, config.blockDimY, config.blockDimZ = threads, 1, 1
        config.sharedMemBytes = shared
        return checked(driver.cuOccupancyMaxActiveClusters, self._handle, config)

    def starter(self, blocks: int, threads: int, shared: int = 0) -> Callable[..., None]:
        """Make what starts it on torch's current stream, with arguments as ctypes has them."""
        if not blocks:  # of a batch without rows, which the driver refuses
            return lambda *_: None
        launch, handle, device = self._driver.cuLaunchKernel, self._handle, self._device
        sizes = (blocks, 1, 1, threads, 1, 1, shared)

        def start(*arguments: Any) -> None:
            places = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
            place = ctypes.addressof(places)
            try:
                with _current(device):
                    checked(launch, handle, *sizes, current_stream(device), place, 0)
            except CudaError as error:
                raise CudaError(
                    f"GPU {device} does not start a native loop: {error} "
                    "unroll.backend=pointwise needs none."
                ) from error

        return start


@lru_cache(maxsize=256)
def load_functions(source: str, device: int) -> tuple[Function, Function]:
    """Compile `run_forward` and `run_backward` for a GPU, or load what was compiled before.

    Args:
        source: CUDA C++.
        device: the index of the GPU.

    Raises:
        BuildError: the compiler refuses it; says why.
        CudaError: the driver does.
    """
    driver, _ = bindings()
    major, minor = torch.cuda.get_device_capability(device)
    binary = built(source, f"sm_{major}{minor}")
    with _current(device):
        module = _loaded(binary)
        forward, backward = (
            Function(checked(driver.cuModuleGetFunction, module, name), device)
            for name in (b"run_forward", b"run_backward")
        )
    return forward, backward


def _loaded(binary: bytes) -> Any:
    driver, _ = bindings()
    try:
        return checked(driver.cuModuleLoadData, binary)
    except CudaError:  # torch may hold all memory, most of it unused
        torch.cuda.empty_cache()
        return checked(driver.cuModuleLoadData, binary)


@contextmanager
def _current(device: int) -> Generator[None]:
    """Have the calls of this thread mean a GPU; torch's own choice of one comes back after it.

    Autograd runs backward passes in threads of its own, which may have none yet.
    """
    driver, _ = bindings()
    checked(driver.cuCtxPushCurrent, _context(device))
    try:
        yield
    finally:
        checked(driver.cuCtxPopCurrent)


@cache
def _context(device: int) -> Any:
    """Take the context in which torch works on a GPU."""
    driver, _ = bindings()
    torch.cuda.init()
    return checked(driver.cuDevicePrimaryCtxRetain, checked(driver.cuDeviceGet, device))
