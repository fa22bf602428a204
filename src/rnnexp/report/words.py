"""Names that users give, made fit for a picture."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import takewhile

from rich.cells import cell_len, set_cell_size

TITLE = 90
"""Characters of a title that a picture eight inches wide has room for."""
LABEL = 90
"""Characters of a label that has a row of such a picture for itself."""
SHORT = 34
"""Characters of a label of which three stand side by side, or one in half a picture."""

EASTERN = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR"),
    *("Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAGothic", "NanumGothic"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Yu Gothic", "MS Gothic", "Microsoft YaHei", "SimHei", "Malgun Gothic"),
)
"""Families of fonts with Chinese, Japanese or Korean characters, as systems have them."""


def literal(text: str) -> str:
    """Have matplotlib show a text as it is, in one line.

    It would read what stands between two dollars as a formula, and leave a label that begins with
    an underscore out of a legend.
    """
    shown = _with_glyphs(" ".join(text.split())).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _with_glyphs(text: str) -> str:
    # What no installed font has is written by its number, as in Python: matplotlib would warn.
    if text.isascii():
        return text
    return "".join(
        character if ord(character) in _glyphs() else ascii(character)[1:-1] for character in text
    )


@cache
def _glyphs() -> frozenset[int]:
    """Let matplotlib take what its own font lacks from others, and list what all of them have."""
    from matplotlib import font_manager, rcParams  # a table needs none

    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = [*rcParams["font.family"], *(name for name in EASTERN if name in installed)]
    rcParams["font.family"] = families
    files = [font_manager.findfont(font_manager.FontProperties(family=[name])) for name in families]
    return frozenset().union(*(font_manager.get_font(file).get_charmap() for file in files))


def cut(text: str, most: int = TITLE) -> str:
    """Leave out the middle of a text that is too wide: one of CJK counts as two characters."""
    text, half = _with_glyphs(text), (most - 1) // 2
    if cell_len(text) <= most:
        return text
    beginning, end = set_cell_size(text, half), set_cell_size(text[::-1], half)[::-1]
    return f"{beginning}…{end}"


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
    shared = _shared_beginning(values) if max(map(cell_len, values), default=0) > SHORT else 0
    return [cut(f"…{value[shared:]}" if shared else value, LABEL) for value in values]


def _shared_beginning(values: Sequence[str]) -> int:
    # Whole words only: of "north" and "northwest" all is shown.
    if len(set(values)) < 2:
        return 0
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*values, strict=False))
    shared = "".join(letters[0] for letters in same)
    return len(re.sub(r"[^\W_]*(\.\d*)?$", "", shared))
