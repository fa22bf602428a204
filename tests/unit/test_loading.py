"""Imports that leave out what nobody uses, and lose nothing by it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnexp.loading import wait_asleep

LOADED = """
from rnnexp.loading import load
load("user_of_signal")
"""
UNUSED = """
import sys
from rnnexp.discovery import load_plugins
from rnnexp.loading import load
for name in ("torchmetrics", "pytorch_lightning"):
    load(name)
    assert "scipy.signal" not in sys.modules, name
assert load_plugins() == []
assert "scipy.signal" not in sys.modules
"""
USED = """
import sys, scipy.signal
assert scipy.signal is sys.modules["scipy.signal"]
assert len(scipy.signal.windows.hann(5)) == 5
from scipy.signal import welch
"""
USER = """
import scipy.signal
from scipy.signal import welch
HAMMING = scipy.signal.windows.hamming(3)
"""


def run(program: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_scipy_signal_is_imported_by_who_uses_it(tmp_path: Path) -> None:
    run(UNUSED + USED, tmp_path)


def test_what_uses_it_while_it_is_imported_gets_it(tmp_path: Path) -> None:
    (tmp_path / "user_of_signal.py").write_text(USER, encoding="utf-8")
    run(LOADED + USED, tmp_path)


def test_matplotlib_says_nothing_of_a_home_that_cannot_be_written(python, tmp_path: Path) -> None:
    program = 'from rnnexp.loading import load\nload("matplotlib")\n'
    program += "import sys; sys.modules['matplotlib'].get_cachedir()"
    done = python("-c", program, cwd=tmp_path, HOME=os.devnull)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("own", "spins"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_threads_wait_asleep_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, own: dict[str, str], spins: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what is set is put back
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    wait_asleep()
    assert os.environ.get("GOMP_SPINCOUNT") == spins
