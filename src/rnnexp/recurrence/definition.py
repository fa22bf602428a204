"""What the classes of a cell say at this moment: IPython's autoreload changes them in place."""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType

_SCALARS = (int, float, str, bool, type(None))
_STEADY = ("rnnexp", "torch")


def is_plain(value: object) -> bool:
    """Tell whether a value is a number, a text or a tuple of such: it stays what it is."""
    if type(value) is tuple:
        return all(map(is_plain, value))
    return isinstance(value, _SCALARS)


def definition_of(kind: type) -> Iterator[object]:
    """Give what is written in a class and its parents, to be compared with what was.

    That is their plain attributes, the code of their functions, and what of the file around them
    these read. torch and this package stay as they are.

    Args:
        kind: the class.
    """
    followed = set[CodeType]()
    for cls in kind.__mro__:
        steady = _is_steady(cls.__module__)
        for name, value in vars(cls).items():
            if is_plain(value) or not steady:
                yield from _written(name, value, followed)


def _written(name: str, value: object, followed: set[CodeType]) -> Iterator[object]:
    if is_plain(value):
        yield repr((name, value))
    function = getattr(value, "__func__", getattr(value, "fget", value))
    if not isinstance(function, FunctionType) or _is_steady(function.__module__):
        return
    code = function.__code__
    yield name, code
    if code in followed:
        return
    followed.add(code)
    with suppress(ValueError):  # of a variable around it that has no value
        around = inspect.getclosurevars(function)
        for item in (*around.nonlocals.items(), *around.globals.items()):
            yield from _written(*item, followed)


def _is_steady(module: str) -> bool:
    return module.partition(".")[0] in _STEADY
