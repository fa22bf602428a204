"""What is made of a config has its options to itself, and numbers that torch takes."""

import pytest

from rnnexp.errors import ConfigError
from rnnexp.options import Option, arguments_of


def test_what_one_object_does_to_its_options_no_other_sees() -> None:
    options, given = [Option("a", list[list[int]])], {"a": [[1]], "b": {"c": [2]}}
    one, other = (arguments_of(options, given) for _ in range(2))
    one["a"][0].append(3)
    one["b"]["c"].append(4)
    assert other == given == {"a": [[1]], "b": {"c": [2]}}


@pytest.mark.parametrize("value", [2**63, -(2**63), float("nan")])
def test_a_number_that_torch_does_not_take_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"below 2\^63|got nan"):
        Option("x", type(value)).check(value, "x")
