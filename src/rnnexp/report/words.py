"""Names that users give, made fit for a picture."""

import re
from collections.abc import Sequence
from itertools import takewhile

TITLE = 90
"""Characters of a title that a picture eight inches wide has room for."""
LABEL = 90
"""Characters of a label that has a row of such a picture for itself."""
SHORT = 34
"""Characters of a label of which three stand side by side, or one in half a picture."""


def literal(text: str) -> str:
    """Have matplotlib show a text as it is, in one line.

    It would read what stands between two dollars as a formula, and leave a label that begins with
    an underscore out of a legend.
    """
    shown = " ".join(text.split()).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def cut(text: str, most: int = TITLE) -> str:
    """Leave out the middle of a text that has too many characters."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def rounded(text: str) -> str:
    """Round a number that is long: a search suggests numbers with all digits of a float."""
    try:
        return f"{float(text):.4g}" if len(text) > 10 else text
    except ValueError:
        return text


def brief(values: Sequence[str]) -> list[str]:
    """Shorten values where one of them is long: first by the beginning that all of them share.

    Numbers are rounded as far as that leaves them apart.
    """
    short = list(map(rounded, values))
    values = short if len(set(short)) == len(set(values)) else values
    shared = _shared_beginning(values) if max(map(len, values), default=0) > SHORT else 0
    return [cut(f"…{value[shared:]}" if shared else value, LABEL) for value in values]


def _shared_beginning(values: Sequence[str]) -> int:
    # Whole words only: of "north" and "northwest" all is shown.
    if len(set(values)) < 2:
        return 0
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*values, strict=False))
    shared = "".join(letters[0] for letters in same)
    return len(re.sub(r"[^\W_]*(\.\d*)?$", "", shared))
