"""How functions are started on a GPU, before a driver that only notes what it is told."""

import ctypes
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rnnexp.recurrence.native.build import BuildError
from rnnexp.recurrence.native.cuda import compiler, program
from rnnexp.recurrence.native.cuda.program import load_functions


class Driver:
    """Succeeds in all it is asked but what it refuses, and remembers it."""

    CUfunction_attribute = SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="shared")
    CUlaunchConfig = SimpleNamespace

    def __init__(self, refused: str | None = None) -> None:
        self.refused = refused
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.seen: list[int] = []

    def __getattr__(self, name: str) -> Any:
        def function(*arguments: Any) -> tuple[Any, ...]:
            self.asked.append((name, arguments))
            if name == "cuLaunchKernel":
                self.seen = _argument_values(arguments[9])
            results = {"cuOccupancyMaxActiveClusters": 15, "cuModuleGetFunction": arguments[-1:]}
            results["cuOccupancyMaxActiveBlocksPerMultiprocessor"] = 2
            results |= {"nvrtcGetCUBINSize": 4, "nvrtcGetProgramLogSize": 4}
            return _Status(name == self.refused), results.get(name, name)

        function.__name__ = name
        return function


class _Status(int):
    name = "CUDA_ERROR_INVALID_VALUE"


def _argument_values(place: int) -> list[int]:
    """Read two arguments of 8 bytes as the driver would, by the list of their places."""
    places = (ctypes.c_void_p * 2).from_address(place)
    return [ctypes.c_longlong.from_address(p).value for p in places if p is not None]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    gpu = SimpleNamespace(multi_processor_count=132)
    monkeypatch.setattr(program, "bindings", lambda: (made, None))
    monkeypatch.setattr(program, "built", lambda source, architecture: (source, architecture))
    monkeypatch.setattr(program, "current_stream", lambda device: 70 + device)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    program.load_functions.cache_clear()
    program._context.cache_clear()
    return made


def test_a_start_says_where_the_arguments_are(driver: Driver) -> None:
    forward, _ = load_functions("source", 1)
    start = forward.starter(blocks=24, threads=96, shared=4096)
    start(ctypes.c_longlong(11), ctypes.c_longlong(22))
    name, asked = driver.asked[-2]
    assert name == "cuLaunchKernel"
    assert asked[:9] == ((b"run_forward",), 24, 1, 1, 96, 1, 1, 4096, 71)
    assert asked[10] == 0
    assert driver.seen == [11, 22]
    around = [name for name, _ in driver.asked[-3:]]
    assert around == ["cuCtxPushCurrent", "cuLaunchKernel", "cuCtxPopCurrent"]


def test_it_is_compiled_for_the_gpu_that_is_there(driver: Driver) -> None:
    load_functions("source", 0)
    assert ("cuModuleLoadData", (("source", "sm_90"),)) in driver.asked


def test_nothing_is_started_for_no_rows(driver: Driver) -> None:
    _, backward = load_functions("source", 0)
    before = len(driver.asked)
    backward.starter(blocks=0, threads=96)(ctypes.c_longlong(1))
    assert len(driver.asked) == before


def test_how_many_clusters_run_at_once_is_asked_for(driver: Driver) -> None:
    forward, _ = load_functions("source", 0)
    assert forward.ready(threads=512, shared=10_000, cluster=8) == 15
    config = next(asked[1] for name, asked in driver.asked if "ActiveClusters" in name)
    assert (config.gridDimX, config.blockDimX, config.sharedMemBytes) == (8, 512, 10_000)
    assert forward.ready(threads=512, shared=10_000, cluster=1) == 2 * 132


def test_a_refusal_is_said() -> None:
    def cuSomething(*arguments: Any) -> tuple[_Status]:  # noqa: N802  # as the driver names it
        del arguments
        return (_Status(1),)

    with pytest.raises(
        compiler.CudaError, match=r"cuSomething failed with CUDA_ERROR_INVALID_VALUE"
    ):
        compiler.checked(cuSomething, 1)


def test_a_start_that_is_refused_is_said(driver: Driver) -> None:
    forward, _ = load_functions("source", 1)
    start = forward.starter(blocks=24, threads=96)
    driver.refused = "cuLaunchKernel"
    with pytest.raises(
        BuildError, match=r"GPU 1 .* cuLaunchKernel failed with .* unroll\.backend=pointwise"
    ):
        start(ctypes.c_longlong(11), ctypes.c_longlong(22))
    assert driver.asked[-1][0] == "cuCtxPopCurrent"


@pytest.mark.parametrize("refused", [None, "nvrtcCompileProgram", "nvrtcGetCUBIN"])
def test_a_program_does_not_outlive_its_compilation(
    monkeypatch: pytest.MonkeyPatch, refused: str | None
) -> None:
    nvrtc = Driver(refused)
    monkeypatch.setattr(compiler, "bindings", lambda: (None, nvrtc))
    with pytest.raises(BuildError) if refused else nullcontext():
        compiler.compile_source("text", "sm_90")
    assert nvrtc.asked[-1] == ("nvrtcDestroyProgram", ("nvrtcCreateProgram",))


@pytest.mark.parametrize("error", [ImportError("no cuda"), RuntimeError("no\nlibnvrtc")])
def test_a_machine_without_the_compiler_says_so(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def missing() -> Any:
        raise error

    monkeypatch.setattr(compiler, "bindings", missing)
    compiler.reason_against_gpu.cache_clear()
    reason = compiler.reason_against_gpu()
    compiler.reason_against_gpu.cache_clear()
    assert reason is not None
    assert f"({str(error).splitlines()[0]})" in reason
    assert "pip install cuda-bindings" in reason


def test_a_damaged_binary_is_compiled_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiled = iter([b"first", b"second"])
    monkeypatch.setenv("RNNEXP_CACHE", str(tmp_path))
    monkeypatch.setattr(compiler, "compile_source", lambda *_: next(compiled))
    monkeypatch.setattr(compiler, "bindings", lambda: (None, _Nvrtc))
    assert [compiler.built("text", "sm_90") for _ in range(2)] == [b"first", b"first"]
    (file,) = (tmp_path / "native").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert compiler.built("text", "sm_90") == b"second"


class _Nvrtc:
    @staticmethod
    def nvrtcVersion() -> tuple[int, int, int]:  # noqa: N802  # as NVIDIA names it
        return 0, 13, 0
