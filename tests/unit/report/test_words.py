import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from warnings import catch_warnings, simplefilter

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text

from rnnexp.report import words
from rnnexp.report.flow_map import draw_flow_map
from rnnexp.report.norms import draw_norms
from rnnexp.report.words import LABEL, TITLE, brief, cut, literal


@pytest.mark.parametrize("name", ["cost $5 to $\\frac$6_{", "$5", "\\$5 or $", "_"])
def test_a_name_is_drawn_as_it_is(tmp_path: Path, kept: list[Figure], name: str) -> None:
    draw_norms([(1, 1.0)], [], tmp_path / "n.png", title=name)
    draw_flow_map([1], [[1.0]], tmp_path / "f.png", title=name)
    for figure in kept:
        title = figure.axes[0].get_title("left")
        shown, is_formula = Text()._preprocess_math(title)
        assert (shown.strip(), is_formula) == (name, False)


def test_the_title_stands_above_the_legend_of_the_cliffs(
    tmp_path: Path, kept: list[Figure]
) -> None:
    draw_flow_map([1, 2], [[1.0], [2.0]], tmp_path / "f.png", cliffs=[(2, [2.0])], title="x" * 300)
    kept[0].draw_without_rendering()
    axes = kept[0].axes[0]
    (title,) = (text for text in axes.findobj(Text) if text.get_text().startswith("xxx"))
    assert title.get_window_extent().y0 > axes.get_legend().get_window_extent().y1
    assert title.get_window_extent().x1 < kept[0].bbox.x1


def test_a_label_has_one_line_and_stands_in_a_legend() -> None:
    assert literal("a\nb  c") == "a b c"
    assert literal("_data/a.csv").strip() == "_data/a.csv"
    assert not literal("_data/a.csv").startswith("_")


def test_a_long_text_lacks_its_middle() -> None:
    assert cut("short") == "short"
    assert cut("a" * 100 + "b" * 100, 11) == "aaaaa…bbbbb"
    assert len(cut("x" * 1000)) <= TITLE


def test_a_character_of_cjk_is_as_wide_as_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_glyphs", lambda: range(sys.maxunicode))
    assert cut("風速" * 2 + "温度" * 2, 16) == "風速風速温度温度"
    assert cut("風速" * 20 + "温度" * 20, 17) == "風速風速…温度温度"
    assert brief(["風速" * 10 + end for end in (" a", " b")]) == ["…a", "…b"]


def test_of_long_values_what_they_share_at_the_beginning_is_left_out() -> None:
    path = "/home/me/projects/measurements/electricity_"
    assert brief([f"{path}north.csv", f"{path}northwest.csv"]) == ["…north.csv", "…northwest.csv"]
    assert brief([f"{path}0.125", f"{path}0.175"]) == ["…0.125", "…0.175"]
    assert brief(["a/b", "a/c"]) == ["a/b", "a/c"], "there is room"
    (alone,) = brief(["x" * 300])
    assert len(alone) <= LABEL
    assert brief([]) == []


def test_numbers_with_all_digits_of_a_float_are_rounded_where_that_leaves_them_apart() -> None:
    found = ["0.0034140160192", "0.5", "0.00029720746699"]
    assert brief(found) == ["0.003414", "0.5", "0.0002972"]
    assert brief(["0.003414016", "0.003414017"]) == ["0.003414016", "0.003414017"]


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[tuple[str, ...]], None]]:
    """Sets the further families of fonts; none of what is drawn then may warn."""
    with rc_context(), catch_warnings():
        simplefilter("error")
        words._glyphs.cache_clear()
        yield partial(monkeypatch.setattr, words, "EASTERN")
    words._glyphs.cache_clear()


def test_a_character_without_a_glyph_is_written_by_its_number(tmp_path: Path, fonts) -> None:
    fonts(())
    assert literal("naïve 風速\t𠀀") == r"naïve \u98a8\u901f \U00020000"
    assert len(cut("風" * 80)) <= TITLE
    draw_norms([(1, 1.0)], [], tmp_path / "n.png", title="風速")


def test_what_the_font_lacks_is_taken_from_another(tmp_path: Path, fonts) -> None:
    fonts(("a font that is nowhere", "STIXGeneral"))
    assert literal("\u2312") == "\u2312", "of STIXGeneral"
    draw_norms([(1, 1.0)], [], tmp_path / "n.png", title="\u2312")
