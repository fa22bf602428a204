"""The loops of the GPU on this machine: the same text, compiled as C++, each thread a thread."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from rnnexp.recurrence.native.cuda import kernel, plan
from rnnexp.recurrence.native.cuda.geometry import Geometry, Limits
from rnnexp.recurrence.native.cuda.program import Program

_HERE = Path(__file__).with_name("gpu")
_WORDS = ("-D__device__=", "-D__forceinline__=inline", "-include", "cmath")
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
        self.used: list[Geometry] = []
        self._folder = folder

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have kernels run on it, whatever device their tensors are on."""
        texts = self._folder / "text"
        shutil.copytree(kernel._TEXTS.folder, texts)
        shutil.copytree(_HERE, texts, dirs_exist_ok=True)
        monkeypatch.setattr(kernel, "_TEXTS", replace(kernel._TEXTS, folder=texts))
        monkeypatch.setattr(plan, "load_program", self._load)
        monkeypatch.setattr(plan, "facts_of", self._facts)

    def _facts(self, device: int, number: int) -> tuple[Limits, int]:
        del device
        return replace(self.limits, number=number), self.multiprocessors

    def _load(self, source: str, geometry: Geometry, number: int, device: int) -> Program:
        del number, device
        self.used.append(geometry)
        library = _built(source, self._folder)

        def start(name: str) -> Callable[[ctypes.Structure, int], None]:
            run = getattr(library, name)
            return lambda call, clusters: run(ctypes.byref(call), ctypes.c_longlong(clusters))

        at_once = self.multiprocessors // geometry.cluster
        return Program(start("run_forward"), start("run_backward"), at_once)


@cache
def _built(source: str, folder: Path) -> ctypes.CDLL:
    assert COMPILER is not None
    name = sha256(source.encode()).hexdigest()[:16]
    text, library = folder / f"{name}.cpp", folder / f"{name}.so"
    text.write_text(source, encoding="utf-8")
    flags = ("-std=c++20", "-O1", "-w", "-shared", "-fPIC", "-pthread", *_WORDS)
    subprocess.run([COMPILER, *flags, str(text), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))
