"""Each object that is made of a config has its options to itself."""

from rnnexp.options import Option, arguments_of


def test_what_one_object_does_to_its_options_no_other_sees() -> None:
    options, given = [Option("a", list[list[int]])], {"a": [[1]], "b": {"c": [2]}}
    one, other = (arguments_of(options, given) for _ in range(2))
    one["a"][0].append(3)
    one["b"]["c"].append(4)
    assert other == given == {"a": [[1]], "b": {"c": [2]}}
