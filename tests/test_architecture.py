"""Layers point downwards only; heavy libraries stay where they belong; files stay readable."""

import ast
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnnexp.__main__ import COMMANDS

SOURCE = Path(__file__).resolve().parent.parent / "src"
FILES = sorted((SOURCE / "rnnexp").rglob("*.py"))
HYDRA_PLUGINS = sorted((SOURCE / "hydra_plugins").rglob("*.py"))
ALL_FILES = [*FILES, *HYDRA_PLUGINS]

WORDS = {"errors", "types", "registry", "paths", "options", "discovery", "loading"}
WORDS |= {"declared", "guard", "files"}
MIDDLE = {"cells", "recurrence", "tasks", "tracking"}
"""They don't know each other, but for recurrence, which takes a cell by its contract."""
LAYERS = {
    **dict.fromkeys(WORDS, WORDS),
    **dict.fromkeys(MIDDLE, WORDS),
    "recurrence": WORDS | {"cells"},
    "report": WORDS | {"tracking"},
    "testing": WORDS | {"cells", "recurrence", "tasks"},
    "training": WORDS | MIDDLE,
    "monitors": WORDS | MIDDLE,
    "app": WORDS | MIDDLE | {"report", "training", "monitors", "testing"},
    "__main__": WORDS | {"app"},
    "__init__": {"app"},  # names that it hands on, imported when they are asked for
}
APP = {
    "config": set[str](),
    "jobs": set[str](),
    "run": {"config", "jobs"},
    "sweep": {"config", "jobs", "run"},
    "commands": {"config", "jobs", "run", "sweep"},
}
"""The packages of the app, and which others each may import; what is in none may import none."""
LIGHTNING_IN = ("training/", "monitors/", "app/", "tasks/datamodule.py", "tracking/logger.py")
HOMES = {
    "hydra": ("app/",),
    "omegaconf": ("app/",),
    "hydra_plugins": ("app/",),
    "mlflow": ("tracking/mlflow_client.py", "tracking/mlflow_store.py"),
    "pytorch_lightning": LIGHTNING_IN,
    "lightning": LIGHTNING_IN,
    "matplotlib": ("report/",),
}
TORCHLESS = [
    *("errors", "paths", "registry", "options", "discovery", "loading", "declared", "guard"),
    *(f"app.commands.{name}" for name in ("train", "sweep", "compare", "sync", "ui")),
    *("tracking", "tracking.mlflow_client", "tracking.mlflow_store", "tracking.sink"),
    *("report.table", "report.columns", "report.seeds", "report.load", "report.repeats"),
    *("report.sheet", "report.zoo_sheet", "report.run_pictures", "report.words", "report.series"),
    *("report.curves", "report.unfolded", "report.norms", "report.flow_map", "report.forecast"),
    *("report.slice", "report.cliff_surface", "report.cliff_picture"),
    *("monitors.cliffs", "monitors.flow", "monitors.events"),
]


def imported(text: str, package: str) -> Iterator[str]:
    """List every module that a source text names in an import, wherever it stands in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -node.level + 1 or None] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def violations(text: str, file: str) -> list[str]:
    """Say which imports of a file of the package, named by its path in it, are not allowed."""
    parts = Path(file).with_suffix("").parts
    package = ".".join(("rnnexp", *parts[:-1]))
    found = sorted(set(imported(text, package)))
    return [
        name
        for name in found
        if not (_layer_allows(name, parts[0]) and _app_allows(name, parts) and _home(name, file))
    ]


def _layer_allows(name: str, own: str) -> bool:
    first, _, rest = name.partition(".")
    target = rest.partition(".")[0]
    if first != "rnnexp" or target in ("", own, "__version__"):
        return True
    return target in LAYERS[own]


def _app_allows(name: str, parts: tuple[str, ...]) -> bool:
    if parts[0] != "app" or not name.startswith("rnnexp.app."):
        return True
    own, target = parts[1], name.split(".")[2]
    return target in APP.get(own, set()) | {own}


def _home(name: str, file: str) -> bool:
    homes = HOMES.get(name.partition(".")[0])
    return homes is None or file.startswith(homes)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downwards(path: Path) -> None:
    file = path.relative_to(SOURCE / "rnnexp").as_posix()
    assert violations(path.read_text(encoding="utf-8"), file) == []


@pytest.mark.parametrize("path", HYDRA_PLUGINS, ids=lambda p: str(p.relative_to(SOURCE)))
def test_plugins_of_hydra_import_no_rnnexp(path: Path) -> None:
    package = ".".join(path.relative_to(SOURCE).parts[:-1])
    names = imported(path.read_text(encoding="utf-8"), package)
    assert [name for name in names if name.partition(".")[0] == "rnnexp"] == []


@pytest.mark.parametrize(
    ("text", "file", "caught"),
    [
        ("from rnnexp import app", "cells/init.py", "rnnexp.app"),
        ("import rnnexp.training.module", "tasks/stream.py", "rnnexp.training.module"),
        ("import rnnexp.app as a", "monitors/x.py", "rnnexp.app"),
        ("from rnnexp.tasks import Task", "recurrence/unroll.py", "rnnexp.tasks"),
        ("def f():\n    from rnnexp.cells import Cell", "tasks/contract.py", "rnnexp.cells"),
        ("from ..app import run", "report/table.py", "rnnexp.app"),
        ("from .. import app", "report/table.py", "rnnexp.app"),
        ("from rnnexp.training import module", "monitors/x.py", "rnnexp.training"),
        ("from rnnexp.monitors import x", "tracking/x.py", "rnnexp.monitors"),
        ("from rnnexp.cells import Cell", "errors.py", "rnnexp.cells"),
        ("import hydra", "training/module.py", "hydra"),
        ("def f():\n    import mlflow", "tracking/forward.py", "mlflow"),
        ("from mlflow.tracking import MlflowClient", "app/commands/ui.py", "mlflow.tracking"),
        ("import pytorch_lightning as pl", "tasks/stream.py", "pytorch_lightning"),
        ("from lightning import pytorch", "recurrence/x.py", "lightning"),
        ("import hydra_plugins.x", "training/module.py", "hydra_plugins.x"),
        ("from rnnexp.app.run.run import run", "app/config/x.py", "rnnexp.app.run.run"),
        ("from rnnexp.app.config.build import Plan", "app/jobs/x.py", "rnnexp.app.config.build"),
        ("from rnnexp.app.jobs import lease", "app/config/x.py", "rnnexp.app.jobs"),
        ("def f():\n    import rnnexp.app.sweep.zoo", "app/run/x.py", "rnnexp.app.sweep.zoo"),
        ("from ..commands import train", "app/sweep/x.py", "rnnexp.app.commands"),
        ("from .. import commands", "app/sweep/x.py", "rnnexp.app.commands"),
        ("from rnnexp.app.run.run import run", "app/x.py", "rnnexp.app.run.run"),
    ],
)
def test_a_violation_is_caught(text: str, file: str, caught: str) -> None:
    assert caught in violations(text, file)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("from . import forward", "tracking/sink.py"),
        ("import rnnexp\nimport torch", "cells/x.py"),
        ("from rnnexp.errors import ConfigError", "cells/x.py"),
        ("from rnnexp.cells import Cell", "recurrence/x.py"),
        ("import hydra", "app/config/x.py"),
        ("from rnnexp.app.run import fit", "app/run/x.py"),
        ("from rnnexp.app.config.build import Plan", "app/run/x.py"),
        ("from rnnexp.app.sweep.sweep import Sweep", "app/commands/x.py"),
    ],
)
def test_what_is_allowed_passes(text: str, file: str) -> None:
    assert violations(text, file) == []


def test_the_packages_of_the_app_hold_all_of_it() -> None:
    inside = {path.relative_to(SOURCE / "rnnexp/app").parts[0] for path in FILES if _in_app(path)}
    assert inside == {*APP, "__init__.py"}


def _in_app(path: Path) -> bool:
    return path.is_relative_to(SOURCE / "rnnexp/app")


def test_every_command_has_its_module_among_the_commands() -> None:
    folder = SOURCE / "rnnexp/app/commands"
    helpers = {"__init__", "arguments", "plugin_failures", "recorded", "training"}
    modules = {f"rnnexp.app.commands.{path.stem}" for path in folder.glob("*.py")}
    assert set(COMMANDS.values()) == modules - {f"rnnexp.app.commands.{name}" for name in helpers}


def without_torch(modules: list[str]) -> str:
    """Write a program that imports modules one after the other and ends at one that has torch."""
    return (
        f"import importlib, sys\nfor name in {modules}:\n"
        "    importlib.import_module('rnnexp.' + name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )


def test_modules_import_no_torch(python, tmp_path: Path) -> None:
    assert python("-c", without_torch(TORCHLESS), cwd=tmp_path).err == ""


def test_the_torch_check_can_fail(python, tmp_path: Path) -> None:
    done = python("-c", without_torch(["errors", "cells", "tasks"]), cwd=tmp_path)
    assert done.err.endswith("AssertionError: cells\n")


def test_tracking_of_a_run_imports_no_mlflow(python, tmp_path: Path) -> None:
    code = "import rnnexp.tracking, sys; assert not {'mlflow', 'sqlalchemy'} & set(sys.modules)"
    assert python("-c", code, cwd=tmp_path).err == ""


def test_help_is_quick_and_light(python, tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        done = python("-m", "rnnexp", "--help", cwd=tmp_path)
        seconds.append(time.perf_counter() - begun)
        assert done.code == 0
        assert "rnnexp train" in done.out
    assert min(seconds) < 0.5


def test_help_imports_nothing_heavy(python, tmp_path: Path) -> None:
    code = (
        "import sys; from rnnexp.__main__ import run; run(['--help']); "
        "print(sorted({'torch', 'mlflow', 'hydra', 'pytorch_lightning'} & set(sys.modules)))"
    )
    assert python("-c", code, cwd=tmp_path).out.endswith("[]\n")


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_file_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 300


def _functions() -> list[ast.FunctionDef]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in ALL_FILES]
    return [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]


def _body_lines(function: ast.FunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_functions_are_short() -> None:
    lengths = [_body_lines(function) for function in _functions()]
    assert len(lengths) > 100
    assert statistics.median(lengths) < 12
    assert max(lengths) <= 30


def _undocumented(tree: ast.Module) -> Iterator[str]:
    holders: list[ast.Module | ast.ClassDef] = [tree]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    holders += [node for node in classes if node.name[0] != "_"]
    for holder in holders:
        for node in holder.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if public and not ast.get_docstring(node):
                yield node.name


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_public_names_have_docstrings(path: Path) -> None:
    assert list(_undocumented(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_a_missing_docstring_is_found() -> None:
    text = "def f():\n    pass\nclass A:\n    'Doc.'\n    def g(self):\n        pass\n"
    assert list(_undocumented(ast.parse(text))) == ["f", "g"]


def test_the_launcher_shell_is_light(python, tmp_path: Path) -> None:
    # Hydra imports it at every start of every program.
    code = "import hydra_plugins.rnnexp_local_launcher.local_launcher, sys; "
    code += "import hydra_plugins.rnnexp_optuna_sweeper.optuna_sweeper; "
    code += "import hydra_plugins.rnnexp_grid_sweeper.grid_sweeper; "
    code += "assert not {'optuna', 'matplotlib'} & set(sys.modules); "
    code += "assert not {'torch', 'rnnexp', 'rich'} & set(sys.modules)"
    assert python("-c", code, cwd=tmp_path).err == ""
