"""The built wheel works outside the checkout: config tree and plugins travel in it."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def call(*command: str | Path, cwd: Path, **env: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | env
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own that holds the wheel, and sees the dependencies of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    call(*build, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env")
    executable = folder / "env" / "bin" / "python"
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    # A path that is added by a .pth file is not searched for .pth files: the editable
    # installation of this checkout stays out of sight.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install(executable, wheel, cwd=folder)
    return executable


def install(executable: Path, what: Path, cwd: Path) -> None:
    # By the pip that is there: to give the new environment one of its own takes longer than that.
    pip = [sys.executable, "-m", "pip", "--python", executable, "install"]
    call(*pip, "--no-deps", "--no-index", "--no-build-isolation", what, cwd=cwd)


@pytest.mark.slow
def test_trains_two_steps_from_a_temporary_folder(
    installed: Path, workdir: Path, store_uri: str
) -> None:
    place = call(installed, "-c", "import rnnexp; print(rnnexp.__file__)", cwd=workdir)
    assert str(installed.parents[1]) in place
    words = ["trainer.max_steps=2", "trainer.val_every=2", "task.test_batches=1"]
    said = call(installed, "-m", "rnnexp", "train", "cell=gru", *words, cwd=workdir)
    assert "test loss" in said
    assert str(installed.parents[1]) in call(installed, "-m", "rnnexp", "cells", "gru", cwd=workdir)


USE = """
from typing import assert_type

from torch import Tensor, zeros

from rnnexp import load_network

network = load_network("latest")
outputs, state = network(zeros(3, 2, 1), lengths_B=None)
assert_type(outputs, Tensor)
assert_type(state.layers, tuple[tuple[Tensor, ...], ...])
network(zeros(3, 2, 1), feeed=None)
"""


@pytest.mark.slow
def test_a_type_checker_knows_what_is_called(installed: Path, workdir: Path) -> None:
    (workdir / "use.py").write_text(USE)
    (workdir / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    words = [["new-cell", "one"], ["new-cell", "two", "--kind", "general"], ["new-task", "three"]]
    for new in words:
        call(installed, "-m", "rnnexp", *new, cwd=workdir)
    checker = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", installed]
    done = subprocess.run(checker, cwd=workdir, capture_output=True, text=True, timeout=200)
    found = [item["message"] for item in json.loads(done.stdout)["generalDiagnostics"]]
    assert found == ['No parameter named "feeed"']


@pytest.mark.slow
def test_a_package_of_somebody_elses_brings_plugins(
    installed: Path, workdir: Path, store_uri: str
) -> None:
    package = workdir / "package"  # a build leaves files beside its source
    shutil.copytree(ROOT / "tests" / "example_package", package)
    install(installed, package, cwd=workdir)
    assert "a / (1 + |a|)" in call(installed, "-m", "rnnexp", "cells", "softsign_unit", cwd=workdir)
    words = ["cell=softsign_unit", "task=last_sign", "trainer.max_steps=2", "trainer.val_every=2"]
    assert "test loss" in call(installed, "-m", "rnnexp", "train", *words, cwd=workdir)
    ini = workdir / "pytest.ini"  # not this project's settings
    ini.write_text("[pytest]\n")
    # Some of its contracts: that the whole of them holds for a sound plugin is tested elsewhere.
    few = ["-k", "words or shapes or batches", package / "contract"]
    said = call(
        installed, "-m", "pytest", "-q", "-c", ini, "-p", "no:cacheprovider", *few, cwd=workdir
    )
    assert re.search(r"[3-9] passed", said), said
