"""Claims beside the paper's numbers, from runs that hold just these: both must come out alike."""

from __future__ import annotations

import pandas as pd
import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.typesetting.claims import NONE, answer, headlines, judged_claims
from filter_sparsity.typesetting.words import counted, counted_numbers, long_name, of_the_width, worded


def plain(text: str) -> float:
    return float(text.partition(" ")[0].replace("−", "-"))


def test_the_papers_own_runs_give_the_papers_numbers(judged):
    plan, folder = judged
    claims = judged_claims(plan, folder)
    assert [claim["id"] for claim in claims] == [claim["id"] for claim in plan.claims]
    pairs = [
        (plain(test["paper"]), plain(test["found"].partition(" (")[0]))
        for claim in claims
        for test in claim["tests"]
        if test["paper"] != NONE and test["n"]
    ]
    assert len(pairs) > 40
    assert all(paper == pytest.approx(here, abs=0.51) for paper, here in pairs)  # one is rounded to whole percents
    assert any(paper < 0 for paper, _ in pairs)


def test_what_the_paper_does_not_print_is_a_dash(judged):
    plan, folder = judged
    simulated = [c for c in judged_claims(plan, folder) if c["basis"] == "simulation"]
    assert {test["paper"] for claim in simulated for test in claim["tests"]} == {NONE}


def test_a_headline_has_numbers_and_layers_of_its_tests(judged):
    plan, folder = judged
    lines = headlines(plan, judged_claims(plan, folder))
    assert len(lines) == sum(claim.get("headline", False) for claim in plan.claims) <= 8
    first = lines[0]
    assert first["statement"] == next(claim["statement"] for claim in plan.claims if claim.get("headline"))
    assert first["paper"] == "+56; +61 points"
    assert first["n"] == "3"
    assert len(first["specs"]) == 4
    layers = next(line["paper"] for line in lines if "early and in late" in line["statement"])
    assert layers == "C1 44, C2 22, C6 96, C7 95 %"


def test_the_answer_has_both_sides(judged):
    plan, folder = judged
    found = answer(plan, folder, judged_claims(plan, folder))
    assert found is not None
    assert (found["paper"], found["here"], found["unit"], found["n"]) == (("83", "27"), ("83", "27"), " %", 3)
    assert found["settings"] == "Adam L2 1e-3 against SGD L2 1e-3 on CIFAR-10"


def test_other_tests_than_the_plans_are_refused(judged, tmp_path):
    plan, folder = judged
    frame = pd.read_csv(folder / "claims.csv")
    frame.iloc[1:].to_csv(tmp_path / "claims.csv", index=False)
    (tmp_path / "cells.csv").write_text((folder / "cells.csv").read_text())
    with pytest.raises(UserError, match=f"other tests of {plan.claims[0]['id']} than the plan: judge again"):
        judged_claims(plan, tmp_path)


def test_only_the_papers_scale_refutes():
    assert [worded("refuted", scale) for scale in (True, False)] == ["refuted", "does not hold here"]
    assert worded("confirmed", at_paper_scale=False) == "confirmed"
    counts = {"made": 6, "confirmed": 2, "refuted": 1, "undecided": 0, "not measured": 3}
    assert counted(counts, at_paper_scale=True) == "2 confirmed, 1 refuted, 3 not measured"
    assert counted(counts, at_paper_scale=False) == "2 confirmed, 1 does not hold here, 3 not measured"
    assert counted(counts | {"refuted": 2}, at_paper_scale=False).count("2 do not hold here") == 1


def test_numbers_are_counted_without_those_that_nobody_measured():
    cells = {"printed": 314, "agrees": 20, "differs": 6, "undecided": 0, "not comparable": 0, "not measured": 288}
    assert counted_numbers(cells) == "20 agree, 6 differ"
    assert counted_numbers(cells | {"agrees": 0, "differs": 0}) == "none"


@pytest.mark.parametrize(("width", "said"), [(0.5, "half the width"), (0.3, "0.3 of the width")])
def test_a_width_in_words(width, said):
    assert of_the_width(width) == said


@pytest.mark.parametrize(
    ("name", "said"), [("cifar100_16", "CIFAR-100 averaged to 16x16 pixels"), ("cifar10", "CIFAR-10"), ("x", "x")]
)
def test_data_as_readers_know_them(name, said):
    assert long_name(name) == said
