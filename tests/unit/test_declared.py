"""What a plugin declares is checked when its file is loaded."""

from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from rnnexp.cells import Cell
from rnnexp.declared import BASES, PATTERNS, check_entry
from rnnexp.discovery import load_file
from rnnexp.errors import DeclaredError
from rnnexp.options import schema_of
from rnnexp.registry import Entry, Registry
from rnnexp.tasks import Pattern, Task

HEAD = """\
from enum import Enum
from pathlib import Path
from typing import *
import torch
from pytorch_lightning import Callback
from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.registry import register_callback
from rnnexp.tasks import GeneratedTask, register_task
class Color(Enum):
    RED = 1
"""
CELL = '''
@register_cell("odd")
class Odd(PointwiseCell):
    """A cell.

    Args:
        a: what for.
    """

    def __init__(self, input_size, {options}, **others):
        super().__init__(input_size, **others)
'''
REFUSED = {
    "*, a: str = None": "The option 'a' of the cell 'odd' is None by default: write a: str | None.",
    "*, a: int = 1.0": "is 1.0 by default, which is not of its type int",
    "*, a: list[int] = [1.5]": "is [1.5] by default, which is not of its type list[int]",
    "*, a: tuple[int, float] = (1, 2, 3)": "which is not of its type tuple[int, float]",
    "*, a: Literal['x', 'y'] = 'z'": "is 'z' by default, which is not among its choices x | y",
    "*, a: torch.dtype": "is of type torch.dtype, which a config cannot hold. It holds None, bool,",
    "*, a: Path | None = None": "is of type pathlib.Path | None, which a config cannot hold.",
    "*, a: list[Path] = []": "is of type list[pathlib.Path], which a config cannot hold.",
    "*, a: Color = Color.RED": "Color, which a config cannot hold.",
    "*, a: Literal[Color.RED] = Color.RED": "which a config cannot hold.",
    "*, a: set = {1, 2}": "is of type set, which a config cannot hold. ",
    "*, a: Any = object()": "holds object by default, which a config cannot. It holds None, bool,",
    "*, a: Any = [{1}]": "holds list by default, which a config cannot.",
    "*, a={None: 1}": "holds dict by default, which a config cannot.",
    "*, a: str = '${seed}'": "has ${ in its default, which a config reads as a reference",
    "*, name: str = 'x'": "The option 'name' of the cell 'odd' has a name that the config keeps",
    "*, defaults: list[str] = []": "has a name that the config keeps for itself",
    "*, a: 'Unknown' = 1": "The type of the option 'a' cannot be read (NameError: name 'Unk",
    "a: float = 0.5": "The option 'a' of the cell 'odd' is no option: options stand behind a `*`",
}
TAKEN = [
    "*, a: int",
    "*, a: str | None = None",
    "*, a: float = 1",
    "*, a=3",
    "*, a: tuple = (1, 2)",
    "*, a: tuple[int, float] = (1, 2.5)",
    "*, a: tuple[int, ...] = ()",
    "*, a: Sequence[int] = (1,)",
    "*, a: list[Literal['x']] = ['x']",
    "*, a: dict[str, list[int]] = {'x': [1]}",
    "*, a: int | str = 'x'",
    "*, a: torch.dtype | str = 'float32'",
    "*, a: Literal[1, 'x', None] = None",
    "*, keys: int = 1, items: str = 'x', get: bool = True",
]


def _load(folder: Path, text: str) -> Path:
    file = folder / "file.py"
    file.write_text(HEAD + text, encoding="utf-8")
    load_file(file)
    return file


@pytest.mark.parametrize("options", REFUSED)
def test_an_option_that_no_config_holds_is_a_failure_of_its_file(
    options: str, registry: Registry, tmp_path: Path
) -> None:
    file = _load(tmp_path, CELL.format(options=options))
    (failure,) = registry.failures
    assert failure.file == str(file)
    assert REFUSED[options] in failure.error
    told = file.read_text(encoding="utf-8").splitlines()[(failure.line or 0) - 1]
    assert told.strip().startswith(("def __init__", "class Odd"))
    assert "odd" not in registry.names("cell")


CALLED = {
    "classes: int = 10, **o": "def __init__(self, seed, *, classes: int = 10, **o).",
    "*, seed, a=1": "must take seed first: it is given by position. Write def __init__(self, seed,",
    "**options": "def __init__(self, seed, **options).",
    "seed, /": "def __init__(self, seed).",
    "": "must take seed first",
}


@pytest.mark.parametrize("parameters", CALLED)
@pytest.mark.parametrize("kind", ["cell", "task"])
def test_what_a_constructor_is_given_it_must_take(
    kind: str, parameters: str, registry: Registry, tmp_path: Path
) -> None:
    base, given = {"cell": ("PointwiseCell", "input_size"), "task": ("GeneratedTask", "seed")}[kind]
    init = f"def __init__(self, {parameters.replace('seed', given)}): ..."
    _load(tmp_path, f"@register_{kind}('odd')\nclass Odd({base}):\n    {init}")
    (failure,) = registry.failures
    assert failure.line == 13
    assert f"__init__ of the {kind} 'odd' must take {given} first" in failure.error
    assert CALLED[parameters].replace("seed", given) in failure.error


@pytest.mark.parametrize("parameters", ["self, *args, **options", "*args, **options"])
def test_a_constructor_may_take_whatever_it_is_given(
    parameters: str, registry: Registry, tmp_path: Path
) -> None:
    init = f"def __init__({parameters}): ..."
    _load(tmp_path, f"@register_cell('odd')\nclass Odd(PointwiseCell):\n    {init}")
    assert registry.failures == []


@pytest.mark.parametrize("options", TAKEN)
def test_an_option_that_a_config_holds_is_taken(
    options: str, registry: Registry, tmp_path: Path
) -> None:
    _load(tmp_path, CELL.format(options=options))
    assert registry.failures == []
    OmegaConf.structured(schema_of("odd", registry.get("cell", "odd").options))


OTHERS = {
    "@register_cell('odd')\ndef odd(x): ...": (11, "@register_cell stands above a function"),
    "@register_cell('odd')\nclass Odd: ...": (12, "no Cell: derive its class from rnnexp.cells."),
    "@register_task('odd')\nclass Odd(torch.nn.Module): ...": (
        12,
        "no Task: derive its class from",
    ),
    "@register_task('odd')\nclass Odd(GeneratedTask):\n    def __init__(self, seed, a=1): ...": (
        13,
        "The option 'a' of the task 'odd' is no option",
    ),
    "@register_callback('odd')\nclass Odd: ...": (12, "derive its class from pytorch_lightning.Ca"),
    "@register_callback('odd')\nclass Odd(Callback):\n    def __init__(self, a=1): ...": (
        13,
        "The option 'a' of the callback 'odd' is no option",
    ),
}


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_none_of_its_kind_is_a_failure_of_its_file(
    text: str, registry: Registry, tmp_path: Path
) -> None:
    _load(tmp_path, text)
    (failure,) = registry.failures
    line, words = OTHERS[text]
    assert failure.line == line
    assert words in failure.error


def test_a_callback_of_lightnings_keeps_its_constructor(registry: Registry, tmp_path: Path) -> None:
    base = "from pytorch_lightning.callbacks import LearningRateMonitor\n"
    _load(tmp_path, f"{base}@register_callback('rate')\nclass Rate(LearningRateMonitor): ...")
    assert registry.failures == []


def test_a_name_that_only_the_schema_of_cells_and_tasks_has_is_free_in_callbacks(
    registry: Registry, tmp_path: Path
) -> None:
    init = "def __init__(self, *, name: str = 'x'): ..."
    _load(tmp_path, f"@register_callback('named')\nclass Named(Callback):\n    {init}")
    assert registry.failures == []


def test_all_that_is_shipped_passes(plugins: Registry) -> None:
    for entry in plugins.entries.values():
        check_entry(entry)


def test_the_bases_are_where_they_are_looked_for() -> None:
    names = [f"{base.__module__}.{base.__qualname__}" for base in (Cell, Task)]
    assert [BASES["cell"][0], BASES["task"][0]] == names


FAULTY_PATTERNS = {
    "('last')": "patterns is the text 'last'; write patterns = ('last',), with a comma.",
    "('lats',)": "patterns names 'lats', where no targets can stand. Did you mean 'last'?",
    "('last', 'final')": "patterns names 'final', where no targets can stand. Known: every_step, ",
    "()": "patterns is (); write a tuple, such as patterns = ('last',).",
    "{'last'}": "patterns is {'last'}; write a tuple,",
    "None": "patterns is None; write a tuple,",
}
TASK = """
class Between(GeneratedTask):
    patterns = {patterns}
@register_task("odd")
class Odd(Between):
    pass
"""


@pytest.mark.parametrize("patterns", FAULTY_PATTERNS)
def test_targets_that_stand_nowhere_are_a_failure_of_the_file(
    patterns: str, registry: Registry, tmp_path: Path
) -> None:
    file = _load(tmp_path, TASK.format(patterns=patterns))
    (failure,) = registry.failures
    assert FAULTY_PATTERNS[patterns] in failure.error
    told = file.read_text(encoding="utf-8").splitlines()[(failure.line or 0) - 1]
    assert told == f"    patterns = {patterns}"


@pytest.mark.parametrize("patterns", ["('last',)", "['last']", "PATTERNS", "property(len)"])
def test_targets_that_stand_somewhere_are_taken(
    patterns: str, registry: Registry, tmp_path: Path
) -> None:
    _load(tmp_path, TASK.format(patterns=patterns.replace("PATTERNS", str(PATTERNS))))
    assert registry.failures == []


def test_the_names_of_patterns_are_those_of_their_type() -> None:
    assert get_args(Pattern) == PATTERNS


TYPES: list[Any] = [int, float, bool, str, list, tuple, dict, Any, str | None, list[int], set]
TYPES += [tuple[int, float], dict[str, int], Literal["a", 1], list[float | None], bytes]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(SCALARS, inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.sampled_from(TYPES), VALUES)
def test_what_is_taken_makes_a_config(kind: Any, default: Any) -> None:
    class Drawn(Cell):
        def __init__(self, input_size: int, *, a: kind = default) -> None: ...

    entry = Entry("cell", "drawn", Drawn, Path(__file__))
    try:
        check_entry(entry)
    except DeclaredError:
        return
    OmegaConf.structured(schema_of("drawn", entry.options))
