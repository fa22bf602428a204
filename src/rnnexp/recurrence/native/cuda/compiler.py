"""Compile CUDA C++ with NVRTC, as NVIDIA's own package has it, which torch brings with CUDA."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from rnnexp.recurrence.native.build import BuildError, cache_dir, sealed, whole

_FLAGS = ("--std=c++17", "-default-device", "--fmad=true")
_SHOWN_LINES = 5


class CudaError(BuildError):
    """What the driver or the compiler refuses, by its own name."""


@cache
def reason_against_gpu() -> str | None:
    """Say why nothing can be compiled for GPUs here; None if it can."""
    if torch.version.hip is not None:
        return "native loops on a GPU are written in CUDA; this torch is built for ROCm."
    try:
        _, nvrtc = bindings()
        checked(nvrtc.nvrtcVersion)
    except (ImportError, RuntimeError, CudaError) as error:  # no package, or no library
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return (
            f"NVIDIA's compiler NVRTC cannot be loaded ({lines[0]}); "
            "pip install cuda-bindings nvidia-cuda-nvrtc."
        )
    return None


@cache
def bindings() -> tuple[Any, Any]:
    """Import the driver's interface and the compiler's."""
    # By name: they are not there where torch is built for the CPU.
    driver, nvrtc = (import_module(f"cuda.bindings.{name}") for name in ("driver", "nvrtc"))
    return driver, nvrtc


def checked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the driver or the compiler; returns its result without the status.

    Raises:
        CudaError: the status is not success.
    """
    status, *results = function(*arguments)
    if int(status) != 0:
        raise CudaError(f"{function.__name__} failed with {status.name}.")
    return results[0] if results else None


def built(source: str, architecture: str) -> bytes:
    """Compile, or read what an earlier process compiled; arguments and errors as below."""
    _, nvrtc = bindings()
    version = nvrtc.nvrtcVersion()[1:]
    key = "\0".join((source, architecture, *_FLAGS, repr(version)))
    file = cache_dir() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.cubin"
    binary = whole(file)
    if binary is None:
        binary = compile_source(source, architecture)
        _keep(file, sealed(binary))
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
    _, nvrtc = bindings()
    program = checked(nvrtc.nvrtcCreateProgram, source.encode(), b"rnnexp.cu", 0, [], [])
    flags = [f"--gpu-architecture={architecture}".encode(), *(f.encode() for f in _FLAGS)]
    try:
        return _binary_of(program, flags)
    finally:
        checked(nvrtc.nvrtcDestroyProgram, program)


def _binary_of(program: Any, flags: Sequence[bytes]) -> bytes:
    _, nvrtc = bindings()
    try:
        checked(nvrtc.nvrtcCompileProgram, program, len(flags), flags)
    except CudaError as error:
        raise BuildError(f"{error} {_log_of(program)}") from None
    size = checked(nvrtc.nvrtcGetCUBINSize, program)
    binary = _room(size)
    checked(nvrtc.nvrtcGetCUBIN, program, binary)
    return binary[:size]


def _room(size: int) -> bytes:
    # Written into by the compiler: one byte would be Python's own, which all programs share.
    return bytes(size + 1)


def _log_of(program: Any) -> str:
    _, nvrtc = bindings()
    text = _room(checked(nvrtc.nvrtcGetProgramLogSize, program))
    checked(nvrtc.nvrtcGetProgramLog, program, text)
    lines = text.decode(errors="replace").strip("\0 \n").splitlines()
    return "\n".join(lines[:_SHOWN_LINES])
