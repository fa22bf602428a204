"""The packages that a run can import, for its record."""

from email.parser import HeaderParser
from functools import cache
from importlib.metadata import Distribution, distributions


@cache
def package_list() -> str:
    """List every installed package; looked up once, before a sweep copies its process."""
    return "\n".join(sorted(set(map(_pinned, distributions())))) + "\n"


def _pinned(package: Distribution) -> str:
    # The head of its metadata: `name` and `version` would each read the description, too.
    text = package.read_text("METADATA") or package.read_text("PKG-INFO") or ""
    head = HeaderParser().parsestr(text.partition("\n\n")[0])
    return f"{head['Name']}=={head['Version']}"
