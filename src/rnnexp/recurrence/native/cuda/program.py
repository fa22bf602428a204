"""Compile CUDA C++ with NVRTC and start it with the driver, both as NVIDIA's own package has them.

torch brings that package, `cuda-bindings`, where it comes with CUDA.
"""

import ctypes
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from rnnexp.recurrence.native.build import BuildError, cache_dir
from rnnexp.recurrence.native.cuda.geometry import Geometry

_FLAGS = ("--std=c++17", "-default-device", "--fmad=true")
_SHOWN_LINES = 5


@dataclass(frozen=True)
class Program:
    """The two loops of a cell for one shape, on one GPU.

    Args:
        forward: starts the loop forward with a `Call` and a number of clusters.
        backward: starts the loop backward likewise.
        at_once: how many clusters run at the same time.
    """

    forward: Callable[[ctypes.Structure, int], None]
    backward: Callable[[ctypes.Structure, int], None]
    at_once: int


def reason_against_gpu() -> str | None:
    """Say why nothing can be compiled for this GPU; None if it can."""
    if torch.version.hip is not None:
        return "native loops on a GPU are written in CUDA; this torch is built for ROCm."
    try:
        _bindings()
    except ImportError as error:
        return f"NVIDIA's cuda-bindings cannot be imported ({error}); pip install cuda-bindings."
    return None


@lru_cache(maxsize=256)
def load_program(source: str, geometry: Geometry, number: int, device: int) -> Program:
    """Compile for a GPU, or load what an earlier process compiled.

    Args:
        source: CUDA C++ with `run_forward` and `run_backward`.
        geometry: who computes what.
        number: bytes of a number.
        device: the index of the GPU.

    Raises:
        BuildError: the compiler or the driver refuses it; says why.
    """
    driver, _ = _bindings()
    major, minor = torch.cuda.get_device_capability(device)
    binary = _built(source, f"sm_{major}{minor}")
    _call(driver.cuCtxSetCurrent, _context(device))
    module = _call(driver.cuModuleLoadData, binary)
    loops = [
        _Loop(_call(driver.cuModuleGetFunction, module, name), geometry, number, device)
        for name in (b"run_forward", b"run_backward")
    ]
    return Program(loops[0].start, loops[1].start, min(loop.at_once() for loop in loops))


class _Loop:
    """A loaded function.

    Args:
        function: the driver's name for it.
        geometry: who computes what.
        number: bytes of a number.
        device: the index of the GPU.
    """

    def __init__(self, function: Any, geometry: Geometry, number: int, device: int) -> None:
        self._driver, _ = _bindings()
        self._function, self._geometry, self._device = function, geometry, device
        self._shared = geometry.shared(number)
        self._context = _context(device)
        most = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        _call(self._driver.cuFuncSetAttribute, function, most, self._shared)

    def start(self, call: ctypes.Structure, clusters: int) -> None:
        """Start it on torch's current stream."""
        # Autograd runs backward passes in a thread of its own, which may have no context yet.
        _call(self._driver.cuCtxSetCurrent, self._context)
        stream = torch.cuda.current_stream(self._device).cuda_stream
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(call))
        grid = (clusters * self._geometry.cluster, 1, 1, self._geometry.threads, 1, 1)
        place = ctypes.addressof(arguments)
        launch = self._driver.cuLaunchKernel
        _call(launch, self._function, *grid, self._shared, stream, place, 0)

    def at_once(self) -> int:
        """Ask how many clusters run at the same time."""
        geometry, driver = self._geometry, self._driver
        if geometry.cluster == 1 or not geometry.recurrent:
            ask = driver.cuOccupancyMaxActiveBlocksPerMultiprocessor
            blocks = _call(ask, self._function, geometry.threads, self._shared)
            gpu = torch.cuda.get_device_properties(self._device)
            return blocks * gpu.multi_processor_count // geometry.cluster
        config = driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = geometry.cluster, 1, 1
        config.blockDimX, config.blockDimY, config.blockDimZ = geometry.threads, 1, 1
        config.sharedMemBytes = self._shared
        return _call(driver.cuOccupancyMaxActiveClusters, self._function, config)


@cache
def _bindings() -> tuple[Any, Any]:
    # Not there where torch is built for the CPU.
    from cuda.bindings import driver, nvrtc  # pyright: ignore[reportMissingImports]

    return driver, nvrtc


@cache
def _context(device: int) -> Any:
    """Take the context in which torch works on a GPU."""
    driver, _ = _bindings()
    torch.cuda.init()
    return _call(driver.cuDevicePrimaryCtxRetain, _call(driver.cuDeviceGet, device))


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the driver or the compiler; returns its result without the status.

    Raises:
        BuildError: the status is not success.
    """
    status, *results = function(*arguments)
    if int(status) != 0:
        raise BuildError(f"{function.__name__} failed with {status.name}.")
    return results[0] if results else None


def _built(source: str, architecture: str) -> bytes:
    _, nvrtc = _bindings()
    version = nvrtc.nvrtcVersion()[1:]
    key = "\0".join((source, architecture, *_FLAGS, repr(version)))
    file = cache_dir() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.cubin"
    try:
        return file.read_bytes()
    except OSError:
        binary = compile_source(source, architecture)
    _keep(file, binary)
    return binary


def _keep(file: Path, binary: bytes) -> None:
    # Written beside its place and moved there: a reader sees all of it or nothing.
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            (Path(folder) / "binary").write_bytes(binary)
            (Path(folder) / "binary").replace(file)
    except OSError:
        return  # the next process compiles it once more


def compile_source(source: str, architecture: str) -> bytes:
    """Compile CUDA C++ for an architecture such as ``sm_90``.

    Raises:
        BuildError: the compiler refuses it; with its last lines.
    """
    _, nvrtc = _bindings()
    program = _call(nvrtc.nvrtcCreateProgram, source.encode(), b"rnnexp.cu", 0, [], [])
    flags = [f"--gpu-architecture={architecture}".encode(), *(f.encode() for f in _FLAGS)]
    try:
        _call(nvrtc.nvrtcCompileProgram, program, len(flags), flags)
    except BuildError as error:
        raise BuildError(f"{error} {_log_of(program)}") from None
    binary = b" " * _call(nvrtc.nvrtcGetCUBINSize, program)
    _call(nvrtc.nvrtcGetCUBIN, program, binary)
    _call(nvrtc.nvrtcDestroyProgram, program)
    return binary


def _log_of(program: Any) -> str:
    _, nvrtc = _bindings()
    text = b" " * _call(nvrtc.nvrtcGetProgramLogSize, program)
    _call(nvrtc.nvrtcGetProgramLog, program, text)
    lines = text.decode(errors="replace").strip("\0 \n").splitlines()
    return "\n".join(lines[:_SHOWN_LINES])
