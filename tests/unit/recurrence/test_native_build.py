"""Building and keeping kernels: the cache, its accidents, and machines without a compiler."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnexp.cells import Cell
from rnnexp.errors import ConfigError
from rnnexp.recurrence import choose_backend, unroll
from rnnexp.recurrence.native import build as building
from rnnexp.recurrence.native import kernel as kernels
from rnnexp.recurrence.native import reason_against
from rnnexp.recurrence.native import run as running
from rnnexp.registry import Registry

HAS_COMPILER = building.find_compiler() is not None
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="there is no C compiler")
ANSWER = "long answer(void) { return 42; }"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and nothing remembered of earlier builds."""
    monkeypatch.setenv("RNNEXP_CACHE", str(tmp_path / "cache"))
    kernels.load_kernel.cache_clear()
    building.say_once.cache_clear()
    running._kernels._of_twins.clear()
    return tmp_path / "cache" / "native"


@pytest.fixture
def elman(plugins: Registry) -> Callable[[], Cell]:
    return lambda: plugins.get("cell", "elman").cls(3, hidden_size=4)


@needs_compiler
def test_a_build_is_kept_and_found_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert building.build(ANSWER).answer() == 42
    (built,) = cache.iterdir()
    monkeypatch.setattr(building, "_compile", pytest.fail)
    assert building.build(ANSWER).answer() == 42
    assert list(cache.iterdir()) == [built]


@needs_compiler
def test_other_text_is_another_build(cache: Path) -> None:
    building.build(ANSWER)
    assert building.build(ANSWER.replace("42", "43")).answer() == 43
    assert len(list(cache.iterdir())) == 2


@needs_compiler
@pytest.mark.parametrize("damage", ["cut short", "empty", "changed", "text"])
def test_a_damaged_build_is_made_again(cache: Path, tmp_path: Path, damage: str) -> None:
    other = ANSWER.replace("42", "44")
    building.build(other)
    (built,) = cache.iterdir()
    content = built.read_bytes()
    # Replaced, not overwritten: this process has the old one mapped.
    built.unlink()
    changed = content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]
    damaged = {"cut short": content[:4000], "empty": b"", "changed": changed, "text": b"no library"}
    built.write_bytes(damaged[damage])
    assert building.build(other).answer() == 44
    assert len(built.read_bytes()) == len(content)


@needs_compiler
def test_processes_that_build_at_once_all_succeed(cache: Path, python: Any, tmp_path: Path) -> None:
    script = tmp_path / "many.py"
    script.write_text(
        "import multiprocessing as mp, sys\n"
        "from rnnexp.recurrence.native.build import build\n"
        f"def one(_): return build({ANSWER!r}).answer()\n"
        "if __name__ == '__main__':\n"
        "    with mp.get_context('fork').Pool(4) as pool: print(pool.map(one, range(8)))\n"
    )
    done = python(str(script), cwd=tmp_path, RNNEXP_CACHE=str(cache.parent))
    assert done.out.strip() == str([42] * 8), done.err
    assert [f.suffix for f in cache.iterdir()] == [".so"]


@needs_compiler
def test_the_compilers_complaint_is_the_reason(cache: Path) -> None:
    with pytest.raises(building.BuildError, match="no_such_thing"):
        building.build("int broken(void) { return no_such_thing; }")
    assert list(cache.iterdir()) == []


@needs_compiler
def test_a_cache_folder_that_cannot_be_made_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RNNEXP_CACHE", str(tmp_path / "file"))
    with pytest.raises(building.BuildError, match="cannot be stored"):
        building.build(ANSWER)


@needs_compiler
def test_a_cell_is_built_once(
    cache: Path, elman: Callable[[], Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reason_against(elman()) is None
    kernels.load_kernel.cache_clear()
    monkeypatch.setattr(building, "_compile", pytest.fail)
    assert reason_against(elman()) is None


@needs_compiler
def test_without_openmp_threads_of_the_system_are_used(
    cache: Path, elman: Callable[[], Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    cell, x = elman(), torch.randn(200, 40, 3)
    expected = unroll(cell, x, backend="loop").outputs_TBH
    monkeypatch.setattr(building, "_THREADS", (("-pthread",),))
    monkeypatch.setattr("rnnexp.recurrence.native.layout.WORTH_A_THREAD", 1)
    torch.set_num_threads(2)
    torch.testing.assert_close(unroll(cell, x, backend="native").outputs_TBH, expected)
    built = b"".join(file.read_bytes() for file in cache.iterdir())
    assert b"pthread_create" in built
    assert b"GOMP_parallel" not in built


def test_without_a_compiler_auto_goes_on_and_says_so_once(
    cache: Path,
    elman: Callable[[], Cell],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with caplog.at_level(logging.WARNING, logger="rnnexp"):
        assert choose_backend(elman()) == "pointwise"
        assert choose_backend(elman()) == "pointwise"
    assert [r.message.count("there is no C compiler") for r in caplog.records] == [1]
    with pytest.raises(ConfigError, match=r"cannot run Elman: there is no C compiler"):
        unroll(elman(), torch.zeros(2, 3, 3), backend="native")


def test_the_compiler_is_named_by_the_environment(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    assert building.find_compiler() is None
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho nothing works today >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(building.BuildError, match="nothing works today"):
        building.build(ANSWER)


UNUSABLE = {  # what `$CC` is, and what is said of it
    "hangs": ("#!/bin/sh\nexec sleep 60\n", "took more than 0.2 s"),
    "no program": ("garbage", "cannot be run: Exec format error"),
}


@pytest.mark.parametrize("how", UNUSABLE)
def test_a_compiler_that_cannot_be_asked_is_asked_once(
    cache: Path,
    elman: Callable[[], Cell],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    content, said = UNUSABLE[how]
    (tmp_path / "compiler").write_text(content)
    (tmp_path / "compiler").chmod(0o755)
    monkeypatch.setenv("CC", str(tmp_path / "compiler"))
    monkeypatch.setattr(building, "_VERSION_TIMEOUT_S", 0.2)
    with pytest.raises(building.BuildError, match=said):
        building.build(ANSWER)
    monkeypatch.setattr(building, "_run", pytest.fail)
    assert choose_backend(elman()) == "pointwise"


@needs_compiler
@pytest.mark.parametrize("words", ["{} -pipe", "{}  -O1 '-DTEXT=two words'", "'{}'"])
def test_the_compiler_may_be_named_with_arguments(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    found = building.find_compiler()
    assert found is not None
    spaced = tmp_path / "my compiler"
    spaced.symlink_to(found[0])
    monkeypatch.setenv("CC", words.format(found[0]))
    assert building.build(ANSWER).answer() == 42
    monkeypatch.setenv("CC", str(spaced))
    assert building.find_compiler() == (str(spaced),)


@pytest.mark.parametrize("named", ["no such program", "'an open quotation", " "])
def test_a_name_of_no_compiler_is_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("CC", named)
    with pytest.raises(building.BuildError, match="names no program; set it to a C compiler"):
        building.build(ANSWER)


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RNNEXP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert building.cache_dir() == Path("/somewhere/rnnexp/native")
    monkeypatch.setenv("RNNEXP_CACHE", "/elsewhere")
    assert building.cache_dir() == Path("/elsewhere/native")


@needs_compiler
def test_without_a_home_folder_another_backend_runs(
    cache: Path, elman: Callable[[], Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    for name in ("RNNEXP_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(building.BuildError, match=r"home directory.* set \$RNNEXP_CACHE"):
        building.cache_dir()
    assert choose_backend(elman()) == "pointwise"
