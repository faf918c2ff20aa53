"""Tables, from records that hold the paper's own numbers: every cell must come out as the paper prints it."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from filter_sparsity.aggregate import aggregate
from filter_sparsity.errors import UserError
from filter_sparsity.latex import latex, number, spread
from filter_sparsity.typeset import read_values, table

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "report" / "references" / "paper"
TOLERANCES = ROOT / "report" / "references" / "tolerances.yaml"
GOLDEN = ROOT / "tests" / "golden"
TEMPLATE = ROOT / "report" / "table.tex.j2"
TABLES = ("table1", "table2", "table3", "table4")  # those that the paper prints


def test_all_314_cells_are_the_papers(campaign):
    plan, runs = campaign
    cells = pd.concat([aggregate(plan, name, runs, PUBLISHED, TOLERANCES) for name in TABLES])
    assert len(cells) == 314
    assert cells["paper"].notna().all()
    assert (cells["n"] == 3).all()
    off = cells[(cells["mean"] - cells["paper"]).abs() > 1e-9]
    assert [(c.row, c.layer, round(c.mean, 2), c.paper) for c in off.itertuples()] == [
        ("Baseline (γ_init = 1, β_init = 0)", "total", 0.47, 0.46)  # the paper disagrees with itself
    ]


@pytest.mark.parametrize("name", TABLES)
def test_golden_latex(campaign, name, tmp_path):
    """To accept a wanted change: copy what this test writes over the file in tests/golden."""
    plan, runs = campaign
    frame = aggregate(plan, name, runs, PUBLISHED, TOLERANCES)
    frame.to_csv(tmp_path / "values.csv", index=False, float_format="%.10g")
    made = table(plan, name, read_values(tmp_path / "values.csv"), TEMPLATE)
    (tmp_path / f"{name}.tex").write_text(made)
    assert made == (GOLDEN / f"{name}.tex").read_text(), f"see {tmp_path / name}.tex"


def test_one_seed_has_no_spread():
    assert spread(math.nan, "test_error") == ""
    assert spread(0.0123, "test_error") == r"\spread{1.2}"
    assert number(None, "test_error") == "--"
    assert number(1.234, "train_loss") == "1.23"


@pytest.mark.parametrize(
    ("text", "typeset"),
    [
        ("50 % & more_", r"50~\% \& more\_"),
        ("γ_init = 1, β", r"$\gamma_{\mathrm{init}}$ = 1, $\beta$"),
        ("|γ| < 10^{-3}", r"\textbar{}$\gamma$\textbar{} \textless{} $10^{-3}$"),
        ("a\\b{c}~^#$", r"a\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}\#\$"),
    ],
)
def test_special_characters_are_typeset(text, typeset):
    assert latex(text) == typeset


def test_a_character_without_a_glyph_is_refused_in_one_line():
    with pytest.raises(UserError, match="cannot typeset the character '火'") as error:
        latex("火")
    assert "\n" not in str(error.value)


def test_values_of_something_else_are_refused(tmp_path):
    (tmp_path / "v.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not a table's values"):
        read_values(tmp_path / "v.csv")


def test_a_table_that_was_not_run_says_what_it_needs(campaign, tmp_path):
    plan, runs = campaign
    for name in ("tiny_imagenet", "imagenet"):
        frame = aggregate(plan, name, runs, PUBLISHED, TOLERANCES)
        frame.to_csv(tmp_path / "values.csv", index=False)
        made = table(plan, name, read_values(tmp_path / "values.csv"), TEMPLATE)
        assert f"Not run: needs {latex(name)} (" in made
        assert r"\begin{tabular}" not in made
