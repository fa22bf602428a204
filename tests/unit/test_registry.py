import sys
from pathlib import Path

import pytest

from rnnexp.errors import PluginError, UnknownNameError
from rnnexp.registry import (
    Entry,
    Failure,
    Registry,
    register_callback,
    register_cell,
    register_task,
)


class Documented:
    """One line says it.

        h_t = f(x_t)
        y_t = h_t

    More words.

    Args:
        width: units.
            Indented more.
    """

    def __init__(self, size: int, *, width: int = 4) -> None: ...


class Other:
    pass


def _entry(cls: type = Documented) -> Entry:
    return Entry("cell", "documented", cls, Path(__file__))


def test_entry_reads_docstring() -> None:
    entry = _entry()
    assert entry.summary == "One line says it."
    assert entry.equation == "h_t = f(x_t)\ny_t = h_t"
    assert [(o.name, o.default) for o in entry.options] == [("width", 4)]


class Short:
    """Nothing but a sentence and an equation.

    z, n = f(x_t,
             h_{t-1})
    h_t  = g(z, n)
    """


class Prose:
    """Nothing but a sentence

    and another: h = 0 in it.
    """


def test_an_equation_needs_no_section_below_it() -> None:
    assert _entry(Short).equation == "z, n = f(x_t,\nh_{t-1})\nh_t  = g(z, n)"
    assert _entry(Prose).equation == ""


class Sourced:
    """Nothing but a sentence, an equation and where it comes from.

        h_t = f(x_t)

    Source: Author 2016, "A title that goes on", in
        the next line.
    """


class SourcedProse:
    """A sentence without an equation.

    Source: Author 2016, "A title that goes on", in
        the next line.
    """


def test_a_source_of_two_lines_is_no_equation() -> None:
    assert _entry(Sourced).equation == "h_t = f(x_t)"
    assert _entry(Sourced).source == 'Author 2016, "A title that goes on", in the next line.'
    assert _entry(SourcedProse).equation == ""


def test_entry_without_docstring_is_empty() -> None:
    assert (_entry(Other).doc, _entry(Other).summary, _entry(Other).equation) == ("", "", "")


def test_names_are_sorted_and_kinds_apart() -> None:
    registry = Registry()
    registry.add("cell", "b", Documented)
    registry.add("cell", "a", Documented)
    registry.add("task", "a", Other)
    assert registry.names("cell") == ["a", "b"]
    assert [entry.cls for entry in registry.all("task")] == [Other]
    assert registry.get("task", "a").cls is Other


def test_unknown_name_suggests() -> None:
    registry = Registry()
    registry.add("cell", "gru", Documented)
    with pytest.raises(UnknownNameError, match=r"Unknown cell 'gur'. Did you mean 'gru'\?"):
        registry.get("cell", "gur")


def test_name_of_a_broken_file_says_why() -> None:
    registry = Registry(failures=[Failure("/p/cells/mine.py", "NameError: x", 3)])
    with pytest.raises(PluginError, match=r"'mine' cannot be used.*/p/cells/mine.py:3: NameError"):
        registry.get("cell", "mine")


def test_failure_without_line_names_the_file() -> None:
    assert str(Failure("f.py", "E: x")) == "f.py: E: x"


def test_two_classes_under_one_name_are_refused_in_one_file() -> None:
    registry = Registry()
    registry.add("cell", "a", Documented)
    with pytest.raises(PluginError, match=r"'a' is registered twice.*Documented.*Other"):
        registry.add("cell", "a", Other)


def test_same_class_may_be_registered_again() -> None:
    registry = Registry()
    registry.add("cell", "a", Documented)
    registry.add("cell", "a", Documented)
    assert registry.names("cell") == ["a"]


@pytest.mark.parametrize("name", ["", "a-b", "a b", "../x", "1a", "a.b", "größe", "a\n"])
@pytest.mark.parametrize("register", [register_cell, register_task])
def test_bad_name_is_refused(register, name: str) -> None:
    with pytest.raises(PluginError, match="use letters from a to z, digits and underscores"):
        register(name)


@pytest.mark.parametrize("register", [register_cell, register_callback])
def test_a_name_that_is_read_as_something_else_is_refused(register) -> None:
    with pytest.raises(PluginError, match=r"'Nan' cannot .* Take another, such as Nan_c(ell|al)"):
        register("Nan")


@pytest.mark.parametrize("register", [register_cell, register_task])
def test_what_is_no_class_is_refused(register, registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"_(cell|task) stands above a function: it takes a cl"):
        register("no_class")(lambda x: x)
    assert "no_class" not in (*registry.names("cell"), *registry.names("task"))


@pytest.mark.parametrize("module", ["__main__", "builtins"])
def test_a_class_that_stands_in_no_file_is_refused(
    registry: Registry, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)  # as in a notebook
    with pytest.raises(PluginError, match=r"'mine' stands in no file.*%%writefile .*/mine\.py"):
        register_cell("mine")(type("Mine", (), {"__module__": module}))
    assert "mine" not in registry.names("cell")


def test_a_plugin_of_a_broken_file_is_known_by_its_name_too() -> None:
    failure = Failure("/p/cells/mine.py", "x", 3, names=(("cell", "other"),))
    registry = Registry(failures=[failure])
    with pytest.raises(PluginError, match=r"'other' cannot be used.*/p/cells/mine.py:3: x"):
        registry.get("cell", "other")
    with pytest.raises(UnknownNameError):
        registry.get("task", "other")


def test_decorator_returns_the_class(registry: Registry) -> None:
    assert register_cell("documented_here")(Documented) is Documented
    assert registry.get("cell", "documented_here").file == Path(__file__)
