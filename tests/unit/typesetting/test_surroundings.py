"""Figures and PDFs are the same bytes in anybody's home."""

import os
import subprocess
import sys

import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.typesetting import latex

DRAW = """
import sys
from pathlib import Path
from matplotlib.figure import Figure
from filter_sparsity.typesetting.style import save

def draw():
    figure = Figure(figsize=(3, 2))
    ax = figure.subplots()
    ax.plot([0, 1, 2], [1, 3, 2], label="a line")
    ax.set_title(r"$\\lambda = 10^{-3}$")
    ax.legend()
    return figure

save(draw, [Path(sys.argv[1]) / "figure.pdf", Path(sys.argv[1]) / "figure.png"])
"""
RC = "text.usetex: True\nsavefig.bbox: tight\nfigure.dpi: 30\nsavefig.dpi: 30\nfont.size: 30\nlines.linewidth: 9\n"


def drawn(folder, **variables):
    folder.mkdir()
    subprocess.run([sys.executable, "-c", DRAW, str(folder)], check=True, env={**os.environ, **variables})
    return [(folder / name).read_bytes() for name in ("figure.pdf", "figure.png")]


def test_figures_do_not_depend_on_the_users_matplotlibrc(tmp_path):
    (tmp_path / "matplotlibrc").write_text(RC)
    hostile = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "MPLBACKEND": "module://no_such_backend"}
    assert drawn(tmp_path / "b", **hostile, LC_ALL="C", LANG="tr_TR.UTF-8") == drawn(tmp_path / "a")


@pytest.fixture
def document(tmp_path):
    """A document, and a function that compiles it."""
    (tmp_path / "a.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}Text.\\end{document}\n"
    )
    (tmp_path / "style").mkdir()
    (tmp_path / "style" / "none.sty").touch()

    def compiled(name):
        latex.compile_pdf(tmp_path / "a.tex", tmp_path / "style" / "none.sty", tmp_path / name)
        return (tmp_path / name).read_bytes()

    return tmp_path, compiled


@pytest.mark.latex
@pytest.mark.slow
def test_pdfs_do_not_depend_on_the_users_home(document, monkeypatch):
    folder, compiled = document
    before = compiled("before.pdf")
    home = folder / "home"
    (home / "texmf/tex/latex").mkdir(parents=True)
    (home / "texmf/tex/latex/booktabs.sty").write_text("\\errmessage{another booktabs}\n")
    (home / ".latexmkrc").write_text("$preview_continuous_mode = 1; $pdf_mode = 0; sleep 1000;\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TEXINPUTS", str(home / "texmf/tex/latex"))
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    assert compiled("after.pdf") == before


@pytest.mark.latex
@pytest.mark.slow
def test_characters_of_the_projects_path_do_not_reach_latex(tmp_path):
    """Comma, braces, % and ~ mean something to TeX and to its search paths; the PDF is the same in any folder."""
    made = []
    for name in ("plain", 'a,b {c} 100% ~x $HOME #1 "q" it\'s & (d);'):
        folder = tmp_path / name
        for part in ("results/tables", "report"):
            (folder / part).mkdir(parents=True)
        (folder / "report/own.sty").write_text("\\newcommand{\\own}{own}\n")
        inside = "\\documentclass{article}\\usepackage{own}\\begin{document}\\input{\\content}\\end{document}\n"
        (folder / "report/single.tex").write_text(inside)
        (folder / "results/tables/table1.tex").write_text("A table of our \\own.\n")
        out = folder / "results/tables/table1.pdf"
        latex.compile_pdf(out.with_suffix(".tex"), folder / "report/own.sty", out, folder / "report/single.tex")
        assert sorted(path.name for path in out.parent.iterdir()) == ["table1.pdf", "table1.tex"]
        made.append(out.read_bytes())
    assert made[0] == made[1]


@pytest.mark.latex
def test_latex_that_does_not_end_is_stopped_with_its_children(document, monkeypatch):
    folder, compiled = document
    (folder / "a.tex").write_text("\\documentclass{article}\\begin{document}\\loop\\iftrue\\repeat\\end{document}\n")
    monkeypatch.setattr(latex, "SECONDS", 2)
    with pytest.raises(UserError, match=r"\A`latexmk [^\n]+ did not end within 2 seconds in [^\n]+\Z"):
        compiled("never.pdf")
    running = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert str(folder) not in running
    assert not (folder / "never.pdf").exists()
