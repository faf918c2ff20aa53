"""Texts that are refused before anything is trained are those that LaTeX or a figure could not have."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from pypdf import PdfReader

from filter_sparsity.letters import MISSING, SYMBOLS, cannot_typeset, escape_mathtext
from filter_sparsity.typesetting import latex
from filter_sparsity.typesetting.style import FOREIGN, STYLE, save

ALLOWED = "".join(c for c in map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x180)]) if c not in MISSING) + SYMBOLS


def test_letters_that_latex_lacks_are_refused():
    assert {c for c in latex.SPECIAL if len(c) == 1 and ord(c) > 0x17F} <= {*SYMBOLS} <= {*latex.SPECIAL}
    for letter in ALLOWED:
        assert cannot_typeset(f"a{letter}") == ""
    for letter in f"→⇒שא学习語Ωπ😀\x00\x07\x1b\x7f\x85\u200b\ufeff{MISSING}":
        said = cannot_typeset(f"a label with {letter} in it")
        assert f"U+{ord(letter):04X}" in said
        assert "\n" not in said


@pytest.mark.parametrize("text", ["[a]", " [2pt]", "*", "*a", "_a", "a\n\nb", "a\n \t\nb"])
def test_texts_that_latex_or_a_legend_misreads_are_refused(text):
    assert cannot_typeset(text)
    assert cannot_typeset(text.strip().replace("\n", " ").lstrip("[*_")) == ""


@pytest.mark.latex
def test_latex_typesets_every_text_that_is_allowed(tmp_path, root):
    """One line a letter, in the report's style; and what the file's own signs are, such as $ and \\foo."""
    lines = [f"{letter} {ord(letter)}" for letter in ALLOWED] + [r"\foo", "$a_b$", "a^b", "{", "}", "50 %", "#1 & ~x"]
    body = "\n\n".join(f"x {latex.latex(line)}" for line in lines)
    tex = rf"\documentclass{{article}}\usepackage{{supplement}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "a.tex").write_text(tex)
    latex.compile_pdf(tmp_path / "a.tex", root / "report/supplement.sty", tmp_path / "a.pdf")
    said = "\n".join(page.extract_text() for page in PdfReader(tmp_path / "a.pdf").pages)
    for sign in (r"\foo", "$a_b$", "50 %", "#1 &", "é 233", "ł 322"):
        assert sign in said


@pytest.mark.parametrize("text", ["a $b$ c", "$", r"\$x$", "$\\foo$", "1 $ and 2 $", "a_b^c {d} \\foo"])
def test_a_text_is_drawn_as_it_is_written(tmp_path, text):
    """No mathematics: the widths of its letters in their order, as without signs of mathtext."""
    drawing = Figure()
    artist = drawing.text(0, 0, escape_mathtext(text))
    plain = drawing.text(0, 0, text, parse_math=False)
    with mpl.rc_context(STYLE):
        drawing.draw_without_rendering()
    assert artist.get_window_extent().width == pytest.approx(plain.get_window_extent().width, rel=1e-3)


def test_signs_that_the_figures_font_lacks_have_another_font(tmp_path):
    """cmr10 has a dot in the place of _, and \u00b1 is \ufb03 there."""
    drawing = Figure()
    artists = {text: drawing.text(0, 0, text) for text in ("a_b", "x < 1", "\xb1 1", "plain", r"$\gamma_1$", "\xe9")}
    save(lambda: drawing, [tmp_path / "a.png"])
    foreign = [text for text, artist in artists.items() if artist.get_fontfamily() == ["STIXGeneral"]]
    assert foreign == ["a_b", "x < 1", "\xb1 1"]


def test_the_figures_font_has_every_other_letter_in_its_place():
    """By the names of its glyphs: a letter that is not in the font is drawn in the next."""
    from fontTools.agl import UV2AGL
    from fontTools.ttLib import TTFont
    from matplotlib.font_manager import findfont

    names = TTFont(findfont("cmr10")).getBestCmap()
    wrong = [c for c in ALLOWED if ord(c) in names and names[ord(c)].casefold() != UV2AGL.get(ord(c), "").casefold()]
    assert {c for c in wrong if not FOREIGN.search(c)} <= {"'", "`", "-", " ", "\xa0"}
