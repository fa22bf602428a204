"""The loops of the GPU on this machine: the same text, compiled as C++, each thread a thread."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rnnexp.recurrence.native.cuda import kernel, plan, steps
from rnnexp.recurrence.native.cuda.compiler import CudaError
from rnnexp.recurrence.native.cuda.geometry import Limits

_HERE = Path(__file__).with_name("gpu")
_WORDS = ("-D__device__=", "-D__forceinline__=inline")
_FLAGS = ("-std=c++20", "-O1", "-w", "-fPIC", "-pthread", *_WORDS)
_HEADERS = ("cmath", "barrier", "condition_variable", "mutex", "thread", "vector")
COMPILER = shutil.which("g++")


class Machine:
    """A GPU of one's own making.

    Args:
        folder: where to build.
        limits: of its multiprocessors.
        multiprocessors: how many it has.
    """

    def __init__(self, folder: Path, limits: Limits, multiprocessors: int) -> None:
        self.limits, self.multiprocessors = limits, multiprocessors
        self.used = (0, 0, 0)
        """Blocks, threads and bytes of shared memory of what was made ready last."""
        self.refused: str | None = None
        """What no source may have in it."""
        self.folder = folder

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have kernels run on it, whatever device their tensors are on."""
        texts = self.folder / "text"
        shutil.copytree(kernel._FOLDER, texts)
        shutil.copytree(_HERE, texts, dirs_exist_ok=True)
        for name in ("_ALL_STEPS", "_EACH_STEP"):
            replaced = replace(getattr(kernel, name), folder=texts)
            monkeypatch.setattr(kernel, name, replaced)
        for module in (plan, steps):
            monkeypatch.setattr(module, "load_functions", self._load)
        monkeypatch.setattr(plan, "facts_of", self._facts)
        plan.plan_of.cache_clear()

    def edit(self, name: str, old: str, new: str) -> None:
        """Change one of the texts of its loops."""
        file = self.folder / "text" / name
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    def _facts(self, device: int, number: int) -> tuple[Limits, int]:
        del device
        return replace(self.limits, number=number), self.multiprocessors

    def _load(self, source: str, device: int) -> "tuple[_Function, _Function]":
        del device
        if self.refused is not None and self.refused in source:
            raise CudaError(f"it cannot load {self.refused}.")
        return _Function(self, source, "run_forward"), _Function(self, source, "run_backward")


@dataclass
class _Function:
    machine: Machine
    source: str
    name: str

    def ready(self, threads: int, shared: int, cluster: int) -> int:
        del threads, shared
        return self.machine.multiprocessors // cluster

    def starter(self, blocks: int, threads: int, shared: int = 0) -> Callable[..., None]:
        self.machine.used = (blocks, threads, shared)

        def start(call: ctypes.Structure, step: ctypes.c_longlong | None = None) -> None:
            run = getattr(_built(self.source, self.machine.folder), self.name)
            if step is not None:
                run(ctypes.byref(call), step)
                return
            run.restype = ctypes.c_char_p
            wrong = run(ctypes.byref(call), ctypes.c_longlong(blocks))
            assert wrong is None, wrong.decode()

        return start


@cache
def _built(source: str, folder: Path) -> ctypes.CDLL:
    assert COMPILER is not None
    name = sha256(source.encode()).hexdigest()[:16]
    text, library = folder / f"{name}.cpp", folder / f"{name}.so"
    text.write_text(source, encoding="utf-8")
    words = (*_FLAGS, "-shared", "-include", f"{_headers().name}/all.h")
    subprocess.run([COMPILER, *words, str(text), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


@cache
def _headers() -> "TemporaryDirectory[str]":
    """Make a header of all that is included, which the compiler need not read again each time."""
    assert COMPILER is not None
    folder = TemporaryDirectory(prefix="rnnexp_headers_")
    text = Path(folder.name) / "all.h"
    text.write_text("".join(f"#include <{name}>\n" for name in _HEADERS), encoding="utf-8")
    subprocess.run([COMPILER, *_FLAGS, str(text), "-o", f"{text}.gch"], check=True)
    return folder
