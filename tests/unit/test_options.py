from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from rnnexp.errors import ConfigError, PluginError
from rnnexp.options import (
    REQUIRED,
    Option,
    arguments_of,
    check_options,
    options_of,
    schema_of,
    split_optional,
)


class Base:
    """A parent.

    Args:
        width: how wide it is,
            in units: at least one.
    """

    def __init__(self, size: int, *, width: int = 3) -> None:
        self.given = (size, width)


class Child(Base):
    """A child.

    Args:
        kind: which sort.
        rate: share of the past; null for none.
        lengths: steps.
    """

    def __init__(
        self,
        size: int,
        *,
        kind: Literal["a", "b"] = "a",
        rate: float | None = None,
        lengths: list[int] = [1, 2],  # noqa: B006
        needed: str,
        **options: Any,
    ) -> None:
        super().__init__(size, **options)


class Closed(Child):
    def __init__(self, size: int, *, own: bool = True) -> None:
        super().__init__(size, needed="x")


class Silent(Child):
    """Adds no option."""


def _named(cls: type) -> dict[str, Option]:
    return {option.name: option for option in options_of(cls)}


def test_parents_options_come_first() -> None:
    assert list(_named(Child)) == ["width", "kind", "rate", "lengths", "needed"]


def test_walk_ends_where_nothing_is_handed_on() -> None:
    assert list(_named(Closed)) == ["own"]


def test_class_without_constructor_has_its_parents_options() -> None:
    assert options_of(Silent) == options_of(Child)


def test_type_default_and_text_are_read() -> None:
    options = _named(Child)
    assert options["rate"] == Option(
        "rate", float | None, None, "share of the past; null for none."
    )
    assert options["needed"].default == REQUIRED
    assert options["kind"].choices == ("a", "b")
    assert options["width"].doc == "how wide it is, in units: at least one."


def test_own_option_hides_the_parents() -> None:
    class Wider(Base):
        def __init__(self, size: int, *, width: int = 9, **options: Any) -> None:
            super().__init__(size, width=width, **options)

    assert [(o.name, o.default) for o in options_of(Wider)] == [("width", 9)]


def test_repeated_option_has_its_parents_text() -> None:
    class Again(Base):
        """Says nothing of it."""

        def __init__(self, size: int, *, width: int = 9) -> None:
            super().__init__(size, width=width)

    assert _named(Again)["width"].doc == "how wide it is, in units: at least one."


def test_dataclass_fields_are_options() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Group:
        __doc__ = "Args:\nsteps: how many.\n"  # without indentation, as of Python 3.13
        steps: int = 3

    assert options_of(Group) == (Option("steps", int, 3, "how many."),)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (int, "int"),
        (float | None, "float | null"),
        (Literal["tanh", "relu"], "tanh | relu"),
        (Literal["a"] | None, "a | null"),
        (list[int], "list of int"),
        (tuple[int, ...] | None, "list of int | null"),
        (list[Literal["a", "b"]], "list of a | b"),
        (list[int | None], "list of int | null"),
        (dict[str, int], "dict"),
        (tuple, "list"),
        (tuple[int, float], "[int, float]"),
        (tuple[int, float] | None, "[int, float] | null"),
        (Sequence[int], "list of int"),
    ],
)
def test_type_is_shown_in_words(kind: Any, shown: str) -> None:
    assert Option("x", kind).type_name == shown


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 3),
        (float, 3),
        (float | None, None),
        (Literal["a", "b"] | None, None),
        (list[int], [1, 2]),
        (list[float], [1, 2.5]),
        (list[Literal["a", "b"]], ["a"]),
        (list[int | None], [1, None]),
        (dict[str, int], {"a": 1}),
        (Sequence[int], [1]),
        (tuple, [1, "a"]),
        (tuple, (1, 2)),
        (list, []),
        (tuple[int, float], [1, 2.5]),
        (tuple[int, ...], [1, 2, 3]),
        (dict, {"a": 1}),
        (dict[str, list[int]], {"a": [1]}),
        (Any, object()),
        (int | str, "x"),
    ],
)
def test_fitting_value_passes(kind: Any, value: object) -> None:
    Option("x", kind).check(value, "cell.x")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 3.5),
        (int, True),
        (int, None),
        (float, "3"),
        (float, False),
        (bool, 1),
        (str, 1),
        (list[int], 3),
        (list[int], [1, "2"]),
        (list[int], [True]),
        (list[Literal["a", "b"]], ["c"]),
        (list[int | None], ["x"]),
        (dict[str, int], [1]),
        (dict[str, int], {"a": 1.5}),
        (tuple, 3),
        (tuple[int, float], [1]),
        (tuple[int, float], [1.5, 1]),
        (tuple[int, float], [1, 2, 3]),
        (Sequence[int], "12"),
        (Sequence[int], ["a"]),
        (Literal["a", "b"], "c"),
        (Literal[1, 2], True),
        (Literal[1, 2], "1"),
    ],
)
def test_unfit_value_is_refused_in_words(kind: Any, value: object) -> None:
    with pytest.raises(ConfigError, match=r"^cell\.x: "):
        Option("x", kind).check(value, "cell.x")


def test_refusals_name_key_type_and_value() -> None:
    with pytest.raises(ConfigError, match=r"^cell\.n: expected int, got 'many'\.$"):
        Option("n", int).check("many", "cell.n")
    with pytest.raises(ConfigError, match=r"'tahn' is not a choice\. Did you mean 'tanh'\?"):
        Option("f", Literal["tanh", "relu"]).check("tahn", "cell.f")


def test_a_null_that_is_not_taken_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match=r"^cell\.n: takes no null\. Give a value\.$"):
        Option("n", int).check(None, "cell.n")
    with pytest.raises(ConfigError, match=r"Give a value, such as cell\.n=\[1,2\]\.$"):
        Option("n", list[int], [1, 2]).check(None, "cell.n")
    with pytest.raises(ConfigError, match=r"^cell\.f: takes no null\. .*such as cell\.f=tanh"):
        Option("f", Literal["tanh", "relu"], "tanh").check(None, "cell.f")


def test_the_constructor_gets_a_tuple_where_it_takes_one() -> None:
    kinds = {"a": tuple, "b": tuple[int, float], "c": tuple[int, ...] | None, "d": list[int]}
    given = {name: [1, 2] for name in kinds}
    options = [Option(name, kind) for name, kind in kinds.items()]
    made = arguments_of(options, {**given, "e": [3]})
    assert made == {"a": (1, 2), "b": (1, 2), "c": (1, 2), "d": [1, 2], "e": [3]}
    assert arguments_of(options, {"c": None}) == {"c": None}


def test_types_that_are_no_options_need_not_be_readable() -> None:
    class Lazy(Base):
        def __init__(self, size: "NotThere", *, a: "int" = 1, **options: "NorThis") -> "No":  # noqa: F821
            ...

    assert [(o.name, o.type) for o in options_of(Lazy)] == [("width", int), ("a", int)]


def test_a_type_that_cannot_be_read_is_named() -> None:
    class Unread(Base):
        def __init__(self, size: int, *, a: "NotThere") -> None: ...  # noqa: F821

    with pytest.raises(PluginError, match=r"option 'a' cannot be read \(NameError: .*NotThere"):
        options_of(Unread)


def test_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^Unknown key 'cell\.widht'\. Did you mean 'width'\?"):
        check_options(options_of(Base), {"widht": 3}, "cell")


SIMPLE = st.sampled_from([int, float, bool, str])
NUMBERS = {int: st.integers(1 - 2**63, 2**63 - 1), float: st.floats(allow_nan=False)}
VALUES = {**NUMBERS, bool: st.booleans(), str: st.text()}


@given(st.data(), SIMPLE)
def test_check_agrees_with_the_type(data: st.DataObject, kind: type) -> None:
    value = data.draw(SIMPLE.flatmap(lambda k: VALUES[k]))
    fits = type(value) is kind or (kind is float and type(value) is int)
    if fits:
        Option("x", kind).check(value, "x")
    else:
        with pytest.raises(ConfigError):
            Option("x", kind).check(value, "x")


@given(SIMPLE, st.booleans())
def test_optional_is_split_off(kind: type, optional: bool) -> None:
    annotation = kind | None if optional else kind
    assert split_optional(annotation) == (kind, optional)


def test_schema_holds_types_and_fresh_defaults() -> None:
    schema = schema_of("child", options_of(Child))
    assert [f.name for f in fields(schema)] == [o.name for o in options_of(Child)]
    one, two = schema(), schema()
    one.lengths.append(3)
    assert two.lengths == [1, 2]


def test_schema_guards_types_in_omegaconf() -> None:
    config = OmegaConf.structured(schema_of("child", options_of(Child)))
    config.rate = 0.5
    config.rate = None
    with pytest.raises(ValidationError):
        config.width = "wide"
    assert OmegaConf.is_missing(config, "needed")


def test_schema_holds_a_tuple_of_different_types() -> None:
    options = [Option("pair", tuple[int, float], (1, 2.5)), Option("bare", tuple, (1, "a"))]
    config = OmegaConf.structured(schema_of("t", options))
    assert (config.pair, config.bare) == ([1, 2.5], [1, "a"])


def test_schema_takes_a_mapping_as_default() -> None:
    schema = schema_of("m", [Option("sizes", dict[str, int], {"a": 1})])
    one, two = schema(), schema()
    one.sizes["b"] = 2
    assert two.sizes == {"a": 1}
