"""Runs that decide nothing, on records made by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from filter_sparsity import paths
from filter_sparsity.paths import run_folder
from filter_sparsity.records.record import read, sealed, tidy
from filter_sparsity.typesetting.tables import read_values, typeset_table
from filter_sparsity.verdict import claims, soundness
from filter_sparsity.verdict.aggregate import aggregate
from filter_sparsity.verdict.cells import judge_numbers
from filter_sparsity.verdict.summary import summarize
from helpers.claims import weighed

ROOT = Path(__file__).parents[3]
PUBLISHED, TOLERANCES = (ROOT / path for path in (paths.PUBLISHED, paths.TOLERANCES))
RULES = {"silent_early": 0.1, "chance": 0.9}


def spec_of(plan, dataset, optimizer, strength, regularizer="l2"):
    """The spec of these settings and nothing unusual."""
    wanted = (dataset, optimizer, regularizer, strength, 0, 0, 1, 1)
    fields = ("dataset", "optimizer", "regularizer", "strength", "negative_slope", "beta_init")
    fields += ("gamma_rate_scale", "beta_rate_scale")
    (found,) = (k for k, spec in plan.specs.items() if tuple(getattr(spec, f) for f in fields) == wanted)
    return found


def found(plan, *measured):
    """The faults of a spec with 10 classes, from the measurements of its runs."""
    spec_id = spec_of(plan, "cifar10", "adam", 1e-3)
    runs = [{"spec_id": spec_id, "seed": k, "measured": own} for k, own in enumerate(measured)]
    return soundness.faults(tidy(runs), plan, RULES).get(spec_id)


def silent(**shares):
    return {"test_error": 0.2, "silent_early": shares}


def test_more_than_a_tenth_of_a_layer_counts(paper_plan):
    assert found(paper_plan, silent(C1=0.1, C7=0.0)) is None
    assert found(paper_plan, silent(C1=0.125, C6=0.1, C7=0.48)) == {"silent": "C1 12 %, C7 48 %"}


def test_hidden_units_do_not_count(paper_plan):
    assert found(paper_plan, silent(C7=0.0, hidden=0.96)) is None


def test_one_run_marks_a_spec_by_the_worst(paper_plan):
    runs = silent(C7=0.0), silent(C7=0.2), silent(C6=0.3, C7=0.1)
    assert found(paper_plan, *runs) == {"silent": "C6 30 %, C7 20 %"}


@pytest.mark.parametrize(("error", "said"), [(0.8099, None), (0.81, "81"), (0.9, "90")])
def test_a_test_error_near_chance(paper_plan, error, said):
    """Guessing among 10 classes errs by 0.9; nine tenths of that are 0.81."""
    expected = said and {"unlearned": f"test error {said} % of 10 classes"}
    assert found(paper_plan, {"test_error": 0.1}, {"test_error": error}) == expected


def test_records_without_these_measurements_have_no_fault(paper_plan):
    assert found(paper_plan, {"train_loss": 0.1}) is None


def test_faults_are_told_as_a_phrase():
    both = {"silent": "C7 48 %", "unlearned": "test error 88 % of 10 classes"}
    assert soundness.describe_faults(both) == (
        "silent at the start (C7 48 %), did not learn (test error 88 % of 10 classes)"
    )


@pytest.fixture
def marred(campaign, tmp_path):
    """The paper's own numbers, but one run of CIFAR-10, SGD, L2 1e-3 was half silent, one of AMSGrad, 1e-2 did not
    learn, and decay was too slow in CIFAR-10, Adam, WD 1e-4."""
    plan, runs = campaign
    shutil.copytree(runs, tmp_path / "runs")

    def change(spec_id, **measured):
        path = run_folder(tmp_path / "runs", spec_id, 1) / "record.json"
        record = read(path, spec_id, 1)
        path.write_text(sealed({**record, "measured": record["measured"] | measured}))

    change(spec_of(plan, "cifar10", "sgd", 1e-3), silent_early={"C6": 0.02, "C7": 0.48, "hidden": 0.9})
    change(spec_of(plan, "cifar100", "amsgrad", 1e-2), test_error=0.985)
    change(spec_of(plan, "cifar10", "adam", 1e-4, "wd"), decay_floor=0.0420038)
    return plan, tmp_path / "runs"


def test_no_claim_is_decided_by_them(campaign, marred, tmp_path):
    plan, runs = marred
    before = claims.judge_claims(plan, campaign[1], tmp_path, TOLERANCES)
    after = claims.judge_claims(plan, runs, tmp_path, TOLERANCES)
    assert (before["reason"] == "").all()
    changed = after[after["reason"] != ""]
    bad = {spec_of(plan, "cifar10", "sgd", 1e-3), spec_of(plan, "cifar10", "adam", 1e-4, "wd")}
    assert {*changed.index} == {*after.index[after["spec"].isin(bad) | after["baseline"].isin(bad)]}
    assert {*changed["verdict"]} == {*changed["claim_verdict"]} == {"undecided"}
    assert {*changed["reason"]} == {
        "SGD L2 1e-3: silent at the start (C7 48 %)",
        "Adam WD 1e-4: decay alone cannot take a scale below 0.04 in so few steps",
    }
    others = after["claim_verdict"].mask(after["id"].isin(changed["id"]), "")
    assert (others == before["claim_verdict"].mask(after["id"].isin(changed["id"]), "")).all()
    cells = judge_numbers(plan, runs, PUBLISHED, TOLERANCES)
    counted = summarize(plan, cells, after)["claims"]
    assert (counted["undecided"], counted["unfit"], counted["lacking"]) == (4, 4, 0)


def typeset(plan, runs, name, tmp_path):
    aggregate(plan, name, runs, PUBLISHED, TOLERANCES).to_csv(tmp_path / "v.csv", index=False)
    return typeset_table(plan, name, read_values(tmp_path / "v.csv"), ROOT / "report/table.tex.j2")


def test_their_rows_are_marked_and_others_are_not(marred, tmp_path):
    plan, runs = marred
    one, four = (typeset(plan, runs, name, tmp_path) for name in ("table1", "table4"))
    dagger, double = (rf"\textsuperscript{{\{name}}}" for name in ("dag", "ddag"))
    assert f"SGD & L2: 1e-3{dagger}\n" in one
    assert "SGD L2: 1e-3 (C7 48~\\%). No claim is decided by such a row." in one
    assert (one.count(dagger), one.count(double)) == (2, 0)
    assert f"AMSGrad & 1e-02{double}\n" in four
    assert f"{double} Did not learn: AMSGrad 1e-02 CIFAR100 (test error 98~\\% of 100 classes)." in four
    assert (four.count(dagger), four.count(double)) == (0, 2)


SIDE = {"settings": {"optimizer": "sgd", "l2": 1e-3, "dataset": "cifar10"}}


def judged(plan, region, bound, of, minus=None, floors=(0.0, 0.0)):
    """A test of sparsities, two equal seeds a side, with each side's decay floor."""
    specs = [spec_of(plan, "cifar10", "sgd", strength) for strength in (1e-3, 5e-4)]
    lines = []
    for spec_id, share, floor in zip(specs, (of, minus), floors, strict=True):
        for seed in (0, 1) if share is not None else ():
            lines.append((spec_id, "sparsity_by_gamma", "total", seed, share))
            lines.append((spec_id, "decay_floor", "", seed, floor))
    test = {"metric": "sparsity_by_gamma", "layer": "total", region: bound, "spec": {"spec_id": specs[0], **SIDE}}
    test |= {"baseline": {"spec_id": specs[1], **SIDE}} if minus is not None else {}
    line = weighed(plan, lines, test)
    assert (line["reason"] != "") == (max(floors) > 1e-3 and line["verdict"] == "undecided")
    return line["verdict"]


@pytest.mark.parametrize(
    ("region", "share", "quick", "slow"),
    [
        ("at_least", 0.5, "confirmed", "confirmed"),  # filters were lost in spite of the few steps
        ("at_least", 0.0, "refuted", "undecided"),
        ("at_most", 0.5, "refuted", "refuted"),
        ("at_most", 0.0, "confirmed", "undecided"),
    ],
)
def test_only_lost_filters_count_where_decay_is_slow(paper_plan, region, share, quick, slow):
    assert judged(paper_plan, region, 0.1, share, floors=(0.9e-3, 0)) == quick
    assert judged(paper_plan, region, 0.1, share, floors=(1.1e-3, 0)) == slow


@pytest.mark.parametrize("floors", [(0.04, 0.0), (0.0, 0.04), (0.04, 0.04)])
@pytest.mark.parametrize("region", ["at_least", "at_most", "within", "outside"])
def test_a_difference_needs_decay_on_both_sides(paper_plan, region, floors):
    assert judged(paper_plan, region, 0.1, 0.5, 0.0) != "undecided"
    assert judged(paper_plan, region, 0.1, 0.5, 0.0, floors) == "undecided"


def test_other_measures_do_not_depend_on_decay(paper_plan):
    spec_id = spec_of(paper_plan, "cifar10", "sgd", 1e-3)
    measured = {"test_error": 0.2, "decay_floor": 1.0}
    lines = [(spec_id, metric, "", seed, value) for metric, value in measured.items() for seed in (0, 1)]
    test = {"metric": "test_error", "layer": "", "at_most": 0.3, "spec": {"spec_id": spec_id, **SIDE}}
    line = weighed(paper_plan, lines, test)
    assert (line["verdict"], line["reason"]) == ("confirmed", "")
