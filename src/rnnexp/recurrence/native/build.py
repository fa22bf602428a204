"""Compile C text with the system's compiler; keep what was built in the user's cache folder."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from rnnexp.errors import RnnexpError

# Tuning for some CPUs takes a fused multiply-add apart where it is alone in its loop: the last bit
# of a sum would depend on how many rows a thread has.
_FLAGS = (
    "-O3",
    "-march=native",
    "-mtune=generic",
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
)
_LIBRARY = ("-shared", "-fPIC", "-w", "-lm")
_THREADS = (("-fopenmp",), ("-pthread",))
_SHOWN_LINES = 5
_DIGEST_BYTES = 32
_TIMEOUT_S = 120


_log = logging.getLogger(__name__)


class BuildError(RnnexpError):
    """What keeps this machine from compiling or starting loops, as a sentence."""


def cache_dir() -> Path:
    """Return the folder of built kernels: in ``$RNNEXP_CACHE``, else in the user's cache.

    Raises:
        BuildError: the user has no home folder, as in some containers.
    """
    named = os.environ.get("RNNEXP_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(named) if named else Path(base, "rnnexp")
    try:
        return folder.expanduser() / "native"
    except RuntimeError as error:
        raise BuildError(f"{error} for what is compiled; set $RNNEXP_CACHE.") from error


def find_compiler() -> str | None:
    """Find ``$CC``, cc, gcc or clang, in this order; None if there is none."""
    named = os.environ.get("CC")
    names = [named] if named else ["cc", "gcc", "clang"]
    return next((path for name in names if (path := shutil.which(name))), None)


def build(source: str) -> ctypes.CDLL:
    """Compile and load a C file, or load what an earlier build of the same left behind.

    The name of the result is the sha256 of the text, the compiler, its flags and the CPU.

    Raises:
        BuildError: there is no compiler, or it fails; with its last lines.
    """
    compiler = find_compiler()
    if compiler is None:
        raise BuildError("there is no C compiler; install gcc or clang, or set $CC.")
    key = "\0".join((source, *_FLAGS, _identity(compiler), _cpu()))
    file = cache_dir() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    if whole(file) is None:
        _compile(compiler, source, file)
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise BuildError(f"the kernel {file} cannot be loaded: {error}") from error


def sealed(content: bytes) -> bytes:
    """Append a digest; loaders do not look behind the sections of what is built."""
    return content + hashlib.sha256(content).digest()


def whole(file: Path) -> bytes | None:
    """Read a sealed file without its digest; None if it is damaged, which could end the process."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    body = content[:-_DIGEST_BYTES]
    return body if content == sealed(body) else None


def _compile(compiler: str, source: str, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Built beside its place and moved there: a reader sees all of it or nothing.
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            text = Path(folder) / "kernel.c"
            text.write_text(source, encoding="utf-8")
            result = Path(folder) / "kernel.so"
            _run_compiler(compiler, text, result)
            result.write_bytes(sealed(result.read_bytes()))
            result.replace(file)
    except OSError as error:
        raise BuildError(f"the kernel cannot be stored in {file.parent}: {error}") from error


def _run_compiler(compiler: str, text: Path, result: Path) -> None:
    said = ""
    for threads in _THREADS:
        command = [compiler, *_FLAGS, *threads, str(text), "-o", str(result), *_LIBRARY]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BuildError(f"{compiler} took more than {_TIMEOUT_S} s.") from None
        if done.returncode == 0:
            return
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:])
    raise BuildError(f"the C compiler {compiler} failed: {said}")


@lru_cache
def _identity(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return f"{compiler} {done.stdout.partition(chr(10))[0]}"


@lru_cache
def _cpu() -> str:
    """Describe what -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kinds = ("flags", "Features", "model name")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))


@lru_cache
def say_once(reason: str) -> None:
    """Tell that this machine cannot compile for its CPU or GPU; the caller is not stopped by it."""
    _log.warning("Native loops are not available, slower ones run instead: %s", reason)
