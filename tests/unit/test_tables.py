"""Tables, from records that hold the paper's own numbers: every cell must come out as the paper prints it."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pandas as pd
import pytest

from filter_sparsity import records
from filter_sparsity.aggregate import aggregate
from filter_sparsity.errors import UserError
from filter_sparsity.paths import of_run
from filter_sparsity.spec import Spec
from filter_sparsity.sweep import build_plan, merge
from filter_sparsity.typeset import latex, number, read_values, spread, table
from filter_sparsity.validation import read_yaml

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "report" / "references" / "paper"
TOLERANCES = ROOT / "report" / "references" / "tolerances.yaml"
GOLDEN = ROOT / "tests" / "golden"
TEMPLATE = ROOT / "report" / "table.tex.j2"
LAYERS = [f"C{i}" for i in range(1, 8)]


def printed_of(spec: Spec) -> dict:
    """A spec's measurements as the paper prints them, found by the spec's own fields, table by table."""
    found: dict = {"sparsity_by_gamma": {}, "sparsity_by_activation": {}}
    for path in sorted(PUBLISHED.glob("table[123].csv"), reverse=True):  # Table 2 prints 47 where Table 3 has 46
        for line in csv.DictReader(path.open()):
            if (
                (line["dataset"], line["optimizer"], line["regularizer"])
                == (spec.dataset, spec.optimizer, spec.regularizer)
                and float(line["strength"]) == spec.strength
                and float(line.get("negative_slope") or 0) == spec.negative_slope
                and float(line.get("beta_init") or 0) == spec.beta_init
                and float(line.get("gamma_lr_scale") or 1) == spec.gamma_rate_scale
                and float(line.get("beta_lr_scale") or 1) == spec.beta_rate_scale
            ):
                found |= {k: float(line[k]) for k in ("train_loss", "test_loss")}
                found |= {k: float(line[k]) / 100 for k in ("test_error", "pruned_test_error")}
                found["params_pruned"] = float(line.get("conv_params_pruned") or 0) / 100
                found["sparsity_by_gamma"] = {k: float(line[k]) / 100 for k in (*LAYERS, "total")}
    plain = not (spec.negative_slope or spec.beta_init) and spec.gamma_rate_scale == spec.beta_rate_scale == 1
    for line in csv.DictReader((PUBLISHED / "table4.csv").open()):
        own = (line["optimizer"], line["regularizer"], float(line["strength"]))
        if plain and own == (spec.optimizer, spec.regularizer, spec.strength):
            for kind in ("activation", "gamma"):
                value = float(line[f"{spec.dataset}_sparsity_by_{kind}"]) / 100
                found[f"sparsity_by_{kind}"].setdefault("total", value)
            found.setdefault("test_error", float(line[f"{spec.dataset}_test_error"]) / 100)
    return found


TABLES = ("table1", "table2", "table3", "table4")  # those that the paper prints


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """The plan of the published settings, and runs that measured just what the paper printed."""
    runs = tmp_path_factory.mktemp("runs")
    settings = merge(read_yaml(ROOT / "config/config.yaml"), read_yaml(ROOT / "config/paper.yaml"))
    settings |= {key: str(ROOT / settings[key]) for key in ("experiments", "datasets")}
    plan = build_plan(settings)
    for spec_id, spec in plan.specs.items():
        measured = printed_of(spec)
        for seed in plan.seeds:
            folder = of_run(runs, spec_id, seed)
            folder.mkdir(parents=True)
            record = {"spec_id": spec_id, "seed": seed, "measured": measured}
            (folder / "record.json").write_text(records.sealed(record))
    return plan, runs


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
