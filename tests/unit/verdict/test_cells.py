"""Verdicts on printed numbers, on the paper's own and by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from filter_sparsity.typesetting import overview
from filter_sparsity.verdict.cells import judge_numbers
from filter_sparsity.verdict.published import published_value
from filter_sparsity.verdict.statistics import compare_with_paper

RULES = {"seeds": 3, "deviations": 3}


def verdicts(rows, is_paper_scale=True) -> pd.DataFrame:
    """Of rows (mean, sd, n) of one column against a printed 0.50, known to half a percent."""
    cells = pd.DataFrame(rows, columns=["mean", "sd", "n"])
    cells = cells.assign(column_group="", metric="sparsity_by_gamma", layer="C1", paper=0.5, half_unit=0.005)
    return compare_with_paper(cells, RULES, is_paper_scale)


def test_the_tolerance_by_hand():
    """One row: half a unit, and 3 deviations of 0.02 by the root of 1/2 + 1/3."""
    expected = 0.005 + 3 * 0.02 * math.sqrt(1 / 2 + 1 / 3)
    assert verdicts([(0.5, 0.02, 2)])["tolerance"][0] == pytest.approx(expected)
    inside, outside = 0.5 + expected - 1e-6, 0.5 - expected - 1e-6
    assert [*verdicts([(inside, 0.02, 2), (outside, 0.02, 2)])["verdict"]] == ["agrees", "differs"]


def test_a_row_of_seeds_alike_by_chance_has_the_columns_spread():
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
        assert published_value(line, "cifar10", metric, layer)[1] == pytest.approx(half)


def test_the_papers_numbers_agree_but_for_its_own_contradiction(campaign, root):
    plan, runs = campaign
    references = root / "report/references"
    cells = judge_numbers(plan, runs, references / "paper", references / "tolerances.yaml")
    assert len(cells) == 314
    assert (cells["verdict"] == "agrees").sum() == 313
    odd = cells[cells["verdict"] != "agrees"].iloc[0]
    assert (odd["table"], odd["layer"], odd["verdict"]) == ("table3", "total", "differs")  # 47 and 46 %


@pytest.mark.slow
def test_the_overview_has_a_cell_for_each(campaign, root, tmp_path):
    plan, runs = campaign
    references = root / "report/references"
    cells = judge_numbers(plan, runs, references / "paper", references / "tolerances.yaml")
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
