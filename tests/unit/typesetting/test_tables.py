"""Tables, from records that hold the paper's own numbers: every cell must come out as the paper prints it."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.planning.build import build_plan
from filter_sparsity.typesetting.latex import latex, number, spread, typeset_precondition, unbroken
from filter_sparsity.typesetting.report import as_known, together
from filter_sparsity.typesetting.tables import (
    changes,
    describe_scale,
    over_seeds,
    read_values,
    scale_sentence,
    typeset_table,
)
from filter_sparsity.verdict.aggregate import aggregate

ROOT = Path(__file__).parents[3]
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
    made = typeset_table(plan, name, read_values(tmp_path / "values.csv"), TEMPLATE)
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
        ("ε 1e-5, η", r"$\varepsilon$ 1e-5, $\eta$"),
        ("|γ| < 10^{-3}", r"\textbar{}$\gamma$\textbar{} \textless{} $10^{-3}$"),
        ("1e-3 of -180, 15 (-45) and 1 - λ", r"1e-3 of $-$180, 15 ($-$45) and 1 $-$ $\lambda$"),
        ("a\\b{c}~^#$", r"a\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}\#\$"),
    ],
)
def test_special_characters_are_typeset(text, typeset):
    assert latex(text) == typeset


def test_no_line_ends_between_a_strength_and_its_name():
    assert unbroken(latex("C6: Adam L2 1e-4 β_init −0.1 − SGD")) == (
        r"C6: Adam L2~1e-4 $\beta_{\mathrm{init}}$~$-$0.1 $-$ SGD"
    )
    assert unbroken("Section 2, last paragraph; Tables 1 and 4") == "Section~2, last paragraph; Tables~1 and~4"


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
        made = typeset_table(plan, name, read_values(tmp_path / "values.csv"), TEMPLATE)
        assert f"Not run: needs {latex(name)} (" in made
        assert r"\begin{tabular}" not in made


def test_columns_align_where_cells_lack_a_deviation(campaign, tmp_path):
    """Each cell of a column leaves the room of its widest deviation: beside our numbers, dashes and the paper's."""
    plan, runs = campaign
    frame = aggregate(plan, "table4", runs, PUBLISHED, TOLERANCES)
    column = (frame["column_group"] == frame["column_group"][0]) & (frame["metric"] == "test_error")
    frame.loc[column, "sd"] = [math.nan, 0.004, 0.123, *[math.nan] * (column.sum() - 3)]
    frame.to_csv(tmp_path / "values.csv", index=False)
    made = typeset_table(plan, "table4", read_values(tmp_path / "values.csv"), TEMPLATE)
    assert made.count(r"\beside{\spread{12.3}}") == 2 * column.sum()
    assert r"\beside{\spread{12.3}}{\spread{0.4}}" in made
    assert made.count(r"\beside{\spread{12.3}}{}") == 2 * column.sum() - 2


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([3, 3], "Mean ± standard deviation over n = 3 seeds."),
        ([3, 0, 2], "Mean ± standard deviation over n = 2 to 3 seeds. Rows in gray alone, and dashes: no run."),
        ([1, 0], "One seed (n = 1). Rows in gray alone, and dashes: no run."),
        ([0, 0], "Not measured: no run of this is there."),
    ],
)
def test_a_table_says_how_many_seeds_it_has(counts, said):
    assert over_seeds(pd.Series(counts)) == said


def test_what_a_scale_changes_is_named_by_optimizer(paper_plan):
    """adam, sgd, rmsprop and their kin: one factor for all, or each its own."""
    one = replace(paper_plan, settings=paper_plan.settings | {"strength_multiplier": 11})
    assert changes(one) == ["Strengths of L2 and WD are those that label the rows, times 11."]
    some = replace(paper_plan, settings=paper_plan.settings | {"strength_multiplier": {"adam": 20, "sgd": 5}})
    assert "printed L2 and WD times 5 for SGD and 20 for Adam, learning" in describe_scale(some, "table1")
    two = replace(paper_plan, settings=paper_plan.settings | {"lr_multiplier": {"adam": 4, "amsgrad": 4, "rmsprop": 3}})
    assert changes(two) == [
        "Base learning rates are the published ones, times 3 for RMSProp and 4 for Adam and AMSGrad."
    ]


def test_tables_and_figures_say_alike_at_which_scale_they_are(paper_plan):
    """Scale, data, width, steps and multipliers; a simulation is the same at every scale."""
    small = replace(paper_plan, settings=paper_plan.settings | {"width": 0.5, "steps": 20000, "lr_multiplier": 2})
    said = (
        "Scale paper, not comparable with the paper: CIFAR-100, half the width, 20,000 steps, L2 and WD as printed, "
        "learning rates times 2."
    )
    assert describe_scale(small, "table2") == describe_scale(small, "figure1") == said
    assert describe_scale(paper_plan, "table2") == "Scale paper: the published settings."
    assert describe_scale(small, "figure3") == describe_scale(small, "figure4") == ""  # figure4 is not drawn here


def test_a_sentence_names_two_data_sets(paper_settings):
    substitutes = {
        "cifar10": "digits",
        "objectnet3d_plain": "shapes_plain",
        "objectnet3d_cluttered": "shapes_cluttered",
    }
    plan = build_plan(paper_settings | {"substitutes": substitutes})
    said = scale_sentence(plan, plan.datasets, plan.specs)
    assert said.startswith("Scale paper, not comparable with the paper: digits for CIFAR-10, ")
    assert f", {len(plan.datasets) - 2} other data sets, the published width, " in said


def test_the_ends_of_a_long_list_stay_together():
    rows = [SimpleNamespace(index=i, revindex=10 - i + 1, last=i == 10) for i in range(1, 11)]
    assert [together(row) for row in rows] == [True, True, *[False] * 5, True, True, False]


def test_a_row_without_runs_is_one_line(campaign, tmp_path):
    plan, runs = campaign
    frame = aggregate(plan, "table1", runs, PUBLISHED, TOLERANCES)
    label = frame["row"].iloc[0]
    without = (frame["row"] == label) & (frame["group"] == frame["group"].iloc[0])
    frame.loc[without, ["n", "mean", "sd"]] = [0, math.nan, math.nan]
    frame.to_csv(tmp_path / "values.csv", index=False)
    made = typeset_table(plan, "table1", read_values(tmp_path / "values.csv"), TEMPLATE)
    first, second = made.split(latex(label))[1].split(r"\\")[:2]
    assert first.startswith("\n" + r"\published{\hfill paper}")
    assert r"\published{13.1}" in first
    assert "--" not in first
    assert r"\published" not in second  # ours of the next row


def test_zero_give_or_take_zero_is_zero(campaign, tmp_path):
    plan, runs = campaign
    frame = aggregate(plan, "table1", runs, PUBLISHED, TOLERANCES)
    shares = frame["metric"] == "sparsity_by_gamma"
    frame.loc[shares, ["mean", "sd"]] = [0.001, 0.004]
    frame.loc[shares & (frame["layer"] == "C1"), "sd"] = 0.006
    frame.to_csv(tmp_path / "values.csv", index=False)
    made = typeset_table(plan, "table1", read_values(tmp_path / "values.csv"), TEMPLATE)
    assert made.count(r"}{\spread{1}}") == shares.sum() / 8
    assert not re.search(r"\b0\}?\\beside\{\\spread\{\d\}\}\{\\spread\{0\}\}", made)


def test_the_method_page_names_networks_and_settings():
    assert as_known("hidden of vgg16") == "hidden of VGG-16"
    assert [as_known(name) for name in ("basicnet", "tiny imagenet", "imagenet", "adam 1e-4", "beta init")] == [
        "BasicNet",
        "Tiny-ImageNet",
        "ImageNet",
        "Adam 1e-4",
        "β_init",
    ]


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("confirmed", "holds"), ("refuted", "does not hold"), ("undecided", r"\undecided{undecided}")],
)
def test_what_is_given_holds_or_does_not(verdict, said):
    assert typeset_precondition(verdict) == said
