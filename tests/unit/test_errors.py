import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnexp import errors
from rnnexp.errors import UserError, suggest, unknown

NAMES = st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), max_size=6)


def test_the_nearest_name_is_suggested() -> None:
    expected = "Unknown cell 'gruu'. Did you mean 'gru'? Known: elman, gru, lstm."
    assert str(unknown("cell", "gruu", ["lstm", "elman", "gru"])) == expected


def test_a_long_list_is_given_only_where_no_name_is_that_near() -> None:
    names = [f"cell_{k}" for k in range(30)] + ["gru"]
    assert suggest("gruu", names) == "Did you mean 'gru'?"
    listed = f"Known: {', '.join(sorted([*names, 'search']))}."
    assert suggest("nosuch", [*names, "search"]) == f"Did you mean 'search'? {listed}"
    assert suggest("xyz", names) == f"Known: {', '.join(sorted(names))}."


def test_a_name_is_known_in_any_case() -> None:
    assert suggest("LSTM", ["lstm", "elman"]) == "Did you mean 'lstm'? Known: elman, lstm."
    assert suggest("t_max", ["T_max", "gamma"]).startswith("Did you mean 'T_max'?")


def test_nothing_near_is_not_suggested() -> None:
    assert suggest("xyz", ["lstm"]) == "Known: lstm."
    assert suggest("xyz", []) == "Known: none."


@given(NAMES, st.text(max_size=20))
def test_every_known_name_is_listed_once(names: list[str], wanted: str) -> None:
    listed = suggest(wanted, names).rpartition("Known: ")[2].rstrip(".")
    assert listed.split(", ") == (sorted(names) or ["none"])


@pytest.mark.parametrize("name", ["ConfigError", "UnknownNameError", "PluginError", "StoreError"])
def test_user_errors_are_value_errors(name: str) -> None:
    error = getattr(errors, name)("words")
    assert isinstance(error, UserError)
    assert isinstance(error, ValueError)


def test_run_errors_are_no_user_errors() -> None:
    assert not issubclass(errors.NonFiniteError, UserError)
    assert issubclass(errors.NonFiniteError, errors.RunError)
