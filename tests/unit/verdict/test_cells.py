"""Verdicts on printed numbers, on the paper's own and by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.typesetting import overview
from filter_sparsity.verdict import aggregate
from filter_sparsity.verdict.cells import END, START, as_json, into_readme, judge

RULES = {"seeds": 3, "deviations": 3}


def verdicts(rows, is_paper_scale=True) -> pd.DataFrame:
    """Of rows (mean, sd, n) of one column against a printed 0.50, known to half a percent."""
    cells = pd.DataFrame(rows, columns=["mean", "sd", "n"])
    cells = cells.assign(block="", metric="sparsity_by_gamma", layer="C1", paper=0.5, half_unit=0.005)
    return aggregate.judge(cells, RULES, is_paper_scale)


def test_the_tolerance_by_hand():
    """One row: half a unit, and 3 deviations of 0.02 by the root of 1/2 + 1/3."""
    expected = 0.005 + 3 * 0.02 * math.sqrt(1 / 2 + 1 / 3)
    assert verdicts([(0.5, 0.02, 2)])["tolerance"][0] == pytest.approx(expected)
    inside, outside = 0.5 + expected - 1e-6, 0.5 - expected - 1e-6
    assert [*verdicts([(inside, 0.02, 2), (outside, 0.02, 2)])["verdict"]] == ["agrees", "differs"]


def test_a_row_whose_seeds_are_alike_by_chance_has_the_columns_spread():
    found = verdicts([(0.5, 0.0, 2), (0.5, 0.02, 2)])
    assert found["tolerance"][0] == pytest.approx(0.005 + 3 * math.sqrt(0.0002) * math.sqrt(5 / 6))


def test_one_seed_alone_agrees_by_rounding_or_is_undecided():
    found = verdicts([(0.504, math.nan, 1), (0.51, math.nan, 1)])
    assert [*found["verdict"]] == ["agrees", "undecided"]
    assert found["reason"].str.contains("one seed").all()


def test_what_is_not_there_or_not_the_papers_settings():
    assert verdicts([(math.nan, math.nan, 0)])["verdict"][0] == "not measured"
    found = verdicts([(0.5, 0.01, 3), (math.nan, math.nan, 0)], is_paper_scale=False)
    assert [*found["verdict"]] == ["not comparable", "not measured"]
    assert found["difference"][0] == 0


def test_rounding_is_that_of_the_printed_text():
    line = {"test_error": "13.1", "C1": "59", "train_loss": "0.10"}
    for metric, layer, half in (
        ("test_error", "", 0.0005),
        ("sparsity_by_gamma", "C1", 0.005),
        ("train_loss", "", 0.005),
    ):
        assert aggregate.published_value(line, "cifar10", metric, layer)[1] == pytest.approx(half)


def test_the_papers_own_numbers_agree_in_all_but_the_cell_where_it_disagrees_with_itself(campaign, root):
    plan, runs = campaign
    references = root / "report/references"
    cells = judge(plan, runs, references / "paper", references / "tolerances.yaml")
    assert len(cells) == 314
    assert (cells["verdict"] == "agrees").sum() == 313
    odd = cells[cells["verdict"] != "agrees"].iloc[0]
    assert (odd["table"], odd["layer"], odd["verdict"]) == ("table3", "total", "differs")  # 47 and 46 %


@pytest.mark.slow
def test_the_overview_has_a_cell_for_each(campaign, root, tmp_path):
    plan, runs = campaign
    references = root / "report/references"
    cells = judge(plan, runs, references / "paper", references / "tolerances.yaml")
    cells.loc[cells["table"] == "table4", ["mean", "verdict"]] = [math.nan, "not measured"]
    cells.to_csv(tmp_path / "cells.csv", index=False)
    drawn = overview.draw(plan, tmp_path / "cells.csv")
    halves = [p for ax in drawn.axes for p in ax.patches if p.get_width() == pytest.approx(0.44)]
    assert len(halves) == 2 * 314 - 54
    heads = [text.get_text() for text in drawn.axes[3].texts]
    assert [heads.count(head) for head in ("CIFAR10", "CIFAR100", "by act.", r"by $\gamma$", "Total")] == [
        1,
        1,
        2,
        2,
        0,
    ]
    key = [text.get_text() for text in drawn.texts]
    assert "shares and errors 0 to 100 %, losses 0 to 4 or more; darker is larger" in key
    overview.plot_overview(plan, tmp_path / "cells.csv", [tmp_path / "one.png", tmp_path / "two.png"])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


FOUND = {
    "scale": "reduced",
    "width": 0.125,
    "steps": 40000,
    "runs": 6,
    "specs": 37,
    "specs_with_runs": 2,
    "seeds": [3, 3],
    "cells": {"printed": 314, "agrees": 0, "differs": 0, "undecided": 0, "not comparable": 26, "not measured": 288},
    "claims": {"made": 19, "confirmed": 2, "refuted": 0, "undecided": 4, "not measured": 13, "lacking": 3, "unfit": 1},
    "statements": {"confirmed": ["Adam loses more.", "SGD loses less."], "refuted": []},
    "simulated_claims": {"made": 3, "confirmed": 2, "refuted": 1, "undecided": 0, "not measured": 0},
}


def test_the_readme_says_what_was_found(tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nwhat was found before\n{END}\nafter\n")
    (tmp_path / "verdict.json").write_text(as_json(FOUND))
    pictures = [tmp_path / "layers.png", tmp_path / "overview.png"]
    for picture in pictures:
        picture.write_text(picture.name)
    into_readme(tmp_path / "verdict.json", pictures, readme, tmp_path / "docs")
    text = readme.read_text()
    assert "real CIFAR images, 0.125 of the width, 40,000 steps; 6 runs of 2 specs, n = 3" in text
    assert "on 19 claims of the supplement about networks" in text
    assert "- **Holds here** (2): Adam loses more. SGD loses less.\n" in text
    assert "- **Does not hold here** (0): none so far." in text
    assert "- **Open** (17): 4 undecided, 13 not measured." in text
    assert "Of 3 claims about a simulated scalar (Figure 3, which needs no network): 2 confirmed, 1 refuted." in text
    assert "3 of the undecided presuppose sparsity where there is none" in text
    assert "1 of the undecided rest on runs that cannot decide them: silent from the start, not learned" in text
    assert "Of 314 printed numbers 26 are measured, and not comparable with the paper's." in text
    assert "says little of the paper's own" in text
    assert "was found before" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    for picture in pictures:
        assert (tmp_path / "docs" / picture.name).read_text() == picture.name
        assert f"](docs/{picture.name})" in text


def test_a_file_that_is_no_verdict_is_one_line(tmp_path):
    (tmp_path / "verdict.json").write_text("scale: quick")
    with pytest.raises(UserError, match=r"holds no verdict .*: judge again"):
        into_readme(tmp_path / "verdict.json", [tmp_path / "x"], tmp_path / "README.md", tmp_path / "y")


def test_a_readme_without_a_place_for_it_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("nothing\n")
    (tmp_path / "verdict.json").write_text(as_json(FOUND))
    with pytest.raises(UserError, match="no place for the verdict"):
        into_readme(tmp_path / "verdict.json", [tmp_path / "x"], tmp_path / "README.md", tmp_path / "y")
