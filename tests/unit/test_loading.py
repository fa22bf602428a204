"""Imports that leave out what nobody uses, and lose nothing by it."""

import subprocess
import sys
from pathlib import Path

import pytest

LOADED = """
import sys
from rnnexp.loading import load
load({name!r})
"""
UNUSED = "assert 'scipy.signal' not in sys.modules\n"
USED = """
import scipy.signal
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


@pytest.mark.parametrize("name", ["pytorch_lightning", "torchmetrics"])
def test_scipy_signal_is_imported_by_who_uses_it(name: str, tmp_path: Path) -> None:
    run(LOADED.format(name=name) + UNUSED + USED, tmp_path)


def test_what_uses_it_while_it_is_imported_gets_it(tmp_path: Path) -> None:
    (tmp_path / "user_of_signal.py").write_text(USER, encoding="utf-8")
    run(LOADED.format(name="user_of_signal") + USED, tmp_path)


def test_plugins_are_loaded_without_it(tmp_path: Path) -> None:
    run(f"import sys, rnnexp.discovery as d\nd.load_plugins()\n{UNUSED}", tmp_path)
