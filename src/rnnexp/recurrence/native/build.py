"""Compile C text with the system's compiler; keep what was built in the user's cache folder."""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
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
_VERSION_TIMEOUT_S = 20


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


def find_compiler() -> tuple[str, ...] | None:
    """Find ``$CC``, or else cc, gcc or clang; None if there is none.

    Returns:
        The program, and the arguments that ``$CC`` has after it.
    """
    named = os.environ.get("CC")
    commands = [_words(named)] if named else [["cc"], ["gcc"], ["clang"]]
    found = ((shutil.which(name), *rest) for name, *rest in commands)
    return next(((path, *rest) for path, *rest in found if path), None)


def _words(command: str) -> list[str]:
    if shutil.which(command):  # a path may have spaces in it
        return [command]
    try:
        return shlex.split(command) or [command]
    except ValueError:  # a quotation without an end
        return [command]


def build(source: str) -> ctypes.CDLL:
    """Compile and load a C file, or load what an earlier build of the same left behind.

    The name of the result is the sha256 of the text, the compiler, its flags and the CPU.

    Raises:
        BuildError: there is no compiler, it cannot be run, or it fails; with its last lines.
    """
    compiler = find_compiler()
    if compiler is None:
        raise BuildError(_no_compiler())
    identity = _identity(compiler)
    if isinstance(identity, BuildError):
        raise BuildError(str(identity))
    key = "\0".join((source, *_FLAGS, identity, _cpu()))
    file = cache_dir() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    if whole(file) is None:
        _compile(compiler, source, file)
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise BuildError(f"the kernel {file} cannot be loaded: {error}") from error


def _no_compiler() -> str:
    named = os.environ.get("CC")
    if named:
        return f"CC={named!r} names no program; set it to a C compiler, or unset it."
    return "there is no C compiler; install gcc or clang, or set $CC."


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


def _compile(compiler: tuple[str, ...], source: str, file: Path) -> None:
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


def _run_compiler(compiler: tuple[str, ...], text: Path, result: Path) -> None:
    said = ""
    for threads in _THREADS:
        done = _run(compiler, *_FLAGS, *threads, str(text), "-o", str(result), *_LIBRARY)
        if done.returncode == 0:
            return
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:])
    raise BuildError(f"the C compiler {shlex.join(compiler)} failed: {said}")


def _run(
    compiler: tuple[str, ...], *arguments: str, timeout: float = _TIMEOUT_S
) -> "subprocess.CompletedProcess[str]":
    command, name = [*compiler, *arguments], shlex.join(compiler)
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BuildError(f"the C compiler {name} took more than {timeout:g} s.") from None
    except OSError as error:
        raise BuildError(f"the C compiler {name} cannot be run: {error.strerror}.") from error


@lru_cache
def _identity(compiler: tuple[str, ...]) -> str | BuildError:
    try:
        done = _run(compiler, "--version", timeout=_VERSION_TIMEOUT_S)
    except BuildError as error:  # asked once: every cell would wait for it again
        return error
    return f"{shlex.join(compiler)} {done.stdout.partition(chr(10))[0]}"


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
