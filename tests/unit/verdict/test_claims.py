"""Claims, on the paper's own numbers and on intervals made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.paths import TOLERANCES
from filter_sparsity.planning.build import build_plan
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.spec import Network
from filter_sparsity.verdict import claims
from filter_sparsity.verdict.statistics import confidence_interval, judge_interval
from helpers.experiments import changed

SGD = {"optimizer": "sgd"}
NOT_PRINTED = {
    "adam_signs",
    "sgd_positive_biases",
    "sgd_positive_scales",
    "early_and_late_on_cifar100",  # of SGD; Adam's numbers are there
    "adam_late_layers_selective",
    "clutter_changes_sparsity",
}
SIMULATED = {"low_gradients_adam_kin", "low_gradients_amsgrad_dampened", "low_gradients_other_adaptive"}
PRINTED = {
    "adam_l2_sparser_than_sgd",
    "adaptive_l2_sparser_than_sgd",
    "adam_l2_sparser_than_weight_decay",
    "adam_sparse_early_and_late",
    "sgd_sparse_early_only",
    "amsgrad_sparse_late_only",
    "amsgrad_less_sparse_than_adam",
    "leaky_relu_is_sparse",
    "leaky_relu_changes_little",
    "beta_negative_changes_nothing",
    "beta_positive_sparser",
    "slow_gamma_less_sparse",
    "slow_gamma_beats_leaky_relu",
    "slow_beta_slightly_sparser",
    "stronger_l2_sparser",
}


def test_the_papers_own_numbers_confirm_what_it_says_of_them(campaign, root, tmp_path):
    plan, runs = campaign
    told = (
        claims.judge_claims(plan, runs, tmp_path, root / TOLERANCES)
        .drop_duplicates("id")
        .set_index("id")["claim_verdict"]
    )
    assert {*told[[*NOT_PRINTED, *SIMULATED]]} == {"not measured"}
    assert {*told[[*PRINTED]]} == {"confirmed"}


def test_an_interval_by_hand():
    """0.1, 0.2 and 0.3: deviation 0.1, and Student's t at 95 % of one side with 2 degrees of freedom is 2.920."""
    mean, low, high, n = confidence_interval(pd.Series([0.1, 0.2, 0.3]))
    assert (mean, n) == (pytest.approx(0.2), 3)
    assert high - mean == pytest.approx(2.920 * 0.1 / math.sqrt(3), rel=1e-3)
    assert mean - low == pytest.approx(high - mean)


@pytest.mark.parametrize(
    ("region", "bound", "low", "high", "verdict"),
    [
        ("at_least", 0.1, 0.1, 0.3, "confirmed"),
        ("at_least", 0.1, 0.05, 0.3, "undecided"),
        ("at_least", 0.1, -0.2, 0.09, "refuted"),
        ("at_most", 0.1, -0.2, 0.1, "confirmed"),
        ("at_most", 0.1, 0.11, 0.3, "refuted"),
        ("within", 0.1, -0.1, 0.1, "confirmed"),
        ("within", 0.1, -0.15, 0.05, "undecided"),
        ("within", 0.1, 0.11, 0.2, "refuted"),
        ("within", 0.1, -0.3, -0.11, "refuted"),
        ("outside", 0.1, 0.1, 0.2, "confirmed"),
        ("outside", 0.1, -0.2, -0.1, "confirmed"),
        ("outside", 0.1, -0.09, 0.09, "refuted"),
        ("outside", 0.1, -0.2, 0.2, "undecided"),
    ],
)
def test_a_test_by_hand(region, bound, low, high, verdict):
    assert judge_interval(region, bound, low, high) == verdict


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        (["confirmed", "confirmed"], "confirmed"),
        (["confirmed", "refuted", "not measured"], "refuted"),
        (["confirmed", "undecided", "not measured"], "not measured"),
        (["undecided", "confirmed"], "undecided"),
        (["given confirmed", "refuted"], "refuted"),
        (["given refuted", "confirmed"], "undecided"),
        (["given refuted", "refuted"], "undecided"),
        (["given refuted", "not measured"], "undecided"),
        (["given not measured", "refuted"], "not measured"),
        (["given undecided", "refuted"], "undecided"),
        (["given confirmed", "confirmed"], "confirmed"),
    ],
)
def test_a_claim_holds_if_all_its_tests_do(verdicts, together):
    tests = [(verdict.removeprefix("given "), verdict.startswith("given")) for verdict in verdicts]
    assert claims.combine(tests) == together


@pytest.fixture
def narrow_plan(paper_plan):
    """A plan of specs a, b and c: 16 features in C2, and 232 in all, as BasicNet has at an eighth of the width."""
    network = Network("basicnet", (8, 16, 16, 32, 32, 64, 64), (5, 3, 3, 3, 3, 3, 3), (1, 3, 5, 7), False, (256,))
    spec = replace(next(iter(paper_plan.specs.values())), network=network)
    return replace(paper_plan, specs=dict.fromkeys("abc", spec))


def test_seeds_are_paired_and_one_decides_nothing(narrow_plan):
    """Specs a and b share seeds 0 and 2; their differences are 0.3 and 0.1. Of c there is one seed."""
    lines = [("a", 0, 0.5), ("a", 1, 0.9), ("a", 2, 0.5), ("b", 0, 0.2), ("b", 2, 0.4), ("c", 0, 0.1)]
    frame = pd.DataFrame([(s, "test_error", "", k, v) for s, k, v in lines])
    values = frame.set_index([0, 1, 2, 3])[4]

    def test_of(minus):
        sides = {"spec": {"spec_id": "a", "settings": SGD}, "baseline": {"spec_id": minus, "settings": SGD}}
        test = {"metric": "test_error", "layer": "", "at_least": 0.05, **sides}
        return claims._test(test, values, {}, Path(), narrow_plan)

    assert (test_of("b")["n"], test_of("b")["effect"]) == (2, pytest.approx(0.2))
    assert [test_of("b")[key] for key in ("spec", "baseline", "seeds")] == ["a", "b", "0 2"]
    assert (test_of("c")["n"], test_of("c")["verdict"]) == (1, "undecided")
    assert (test_of("d")["n"], test_of("d")["verdict"]) == (0, "not measured")


@pytest.mark.parametrize(
    ("layer", "minus", "shares", "half"),
    [
        ("C2", False, (1 / 16, 1 / 16), 1.6449 / 16 / 2**0.5),  # one filter of 16 in both: 6.25 %, give or take 7.3
        ("total", False, (0, 0, 0), 1.6449 / 232 / 3**0.5),
        ("C2", True, (0, 0), 1.6449 * 2**0.5 / 16 / 2**0.5),  # a difference: one filter on each side
        ("C2", False, (1 / 16, 7 / 16), 6.3138 * (6 / 16) / 2),  # seeds that vary more speak for themselves
    ],
)
def test_no_share_of_features_is_known_better_than_by_one(narrow_plan, layer, minus, shares, half):
    lines = [("a", "sparsity_by_gamma", layer, k, v) for k, v in enumerate(shares)]
    lines += [("b", "sparsity_by_gamma", layer, k, 0.0) for k, _ in enumerate(shares)]
    values = pd.DataFrame(lines).set_index([0, 1, 2, 3])[4]
    test = {"metric": "sparsity_by_gamma", "layer": layer, "at_least": 0.1, "spec": {"spec_id": "a", "settings": SGD}}
    test |= {"baseline": {"spec_id": "b", "settings": SGD}} if minus else {}
    found = claims._test(test, values, {}, Path(), narrow_plan)
    assert found["high"] == pytest.approx(min(1, sum(shares) / len(shares) + half), abs=1e-5)


def test_records_older_than_a_measure_do_not_count(narrow_plan):
    """Of spec a seeds 1 and 2 have it; of spec b none."""
    lines = [("a", "universality", "C6", k, 0.5) for k in range(3)] + [("b", "universality", "C6", 0, 0.5)]
    lines += [("a", "universality_living", "C6", k, 0.75) for k in (1, 2)]
    values = pd.DataFrame(lines).set_index([0, 1, 2, 3])[4].sort_index()

    def found(spec):
        side = {"spec_id": spec, "settings": SGD}
        test = {"metric": "universality_living", "layer": "C6", "at_least": 0.7, "spec": side}
        return claims._test(test, values, {}, Path(), narrow_plan)

    assert (found("a")["n"], found("a")["effect"], found("a")["verdict"]) == (2, 0.75, "confirmed")
    assert (found("b")["n"], found("b")["verdict"]) == (0, "not measured")


def test_a_simulated_claim_is_about_the_end_of_its_curves(narrow_plan, tmp_path):
    curve = [("Adam", "l2", 1e-4, 5000, 0.0, -0.1, 0.1), ("SGD", "l2", 1e-4, 0, 1.0, 1.0, 1.0)]
    curve.append(("SGD", "l2", 1e-4, 5000, 0.9, 0.8, 0.95))
    names = ["panel", "regularizer", "strength", "iteration", "median", "low", "high"]
    pd.DataFrame(curve, columns=names).to_csv(tmp_path / "figure3.csv", index=False)
    side = {"regularizer": "l2", "strength": 1e-4, "settings": {"optimizer": "x"}}
    test = {"simulated": "figure3", "metric": "scalar", "layer": "", "at_least": 0.5, "repeats": 20}
    test |= {"spec": side | {"panel": "SGD"}, "baseline": side | {"panel": "Adam"}}
    found = claims._test(test, pd.Series(), {}, tmp_path, narrow_plan)
    assert found["basis"] == "simulation"
    assert (found["effect"], found["low"], found["high"]) == pytest.approx((0.9, 0.7, 1.05))
    assert (found["n"], found["verdict"]) == (20, "confirmed")
    assert [found[key] for key in ("spec", "baseline", "seeds")] == ["", "", ""]  # no network's


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("outside: 0.02}", "outside: 0.02, within: 0.1}", "exactly one of at_least, at_most, within, outside"),
        (
            "metric: scalar, simulated: figure3, spec: {optimizer: sgd, l2: 1e-4}",
            "metric: scalar, simulated: figure3, spec: {optimizer: sgd, l2: 2e-4}",
            "figure3 simulates no sgd with l2 0.0002",
        ),
        (
            "&cifar100_adam_1e-4 {dataset: cifar100, optimizer: adam",
            "&cifar100_adam_1e-4 {dataset: cifar100, optimizer: adan",
            "'adan' is not one of the optimizers",
        ),
        ("layers: [C5, C6]", "layers: [C5, C9]", r"layers: C5, C9 given; \w+ has C1, C2, C3, C4, C5, C6, C7$"),
        (
            "metric: gamma_positive, layers: [C5, C6]",
            "metric: gamma_positive",
            "none given; gamma_positive has C1, C2",
        ),
        ("metric: gamma_positive, layers", "metric: test_error, layers", "layers: test_error has none"),
        ("metric: gamma_positive, layers", "metric: scalar, layers", "a scalar is what a figure has `simulated`"),
        ("at_least: 0.05", "at_least: 5", "shares are fractions, from −1 to 1"),
        ("id: sgd_positive_scales", "id: sgd_positive_biases", "claims: the id 'sgd_positive_biases' is given twice"),
    ],
)
def test_mistakes_in_claims_are_one_line(paper_settings, tmp_path, right, wrong, said):
    settings = changed(paper_settings, tmp_path, {right: wrong}, 1)
    with pytest.raises(UserError, match=said) as error:
        build_plan(settings)
    assert str(error.value).startswith(str(tmp_path / "claims.yaml"))
    assert "\n" not in str(error.value)


def test_claims_select_specs_and_add_none(paper_plan):
    known = {*paper_plan.specs}
    measured = [
        s["spec_id"]
        for c in paper_plan.claims
        for t in c["tests"]
        for s in (t["spec"], t.get("baseline", t["spec"]))
        if "spec_id" in s
    ]
    assert {
        spec for spec in measured if not spec.startswith("objectnet3d")
    } <= known  # else a claim compares what no table trains


@pytest.mark.parametrize(
    ("value", "measure", "said"),
    [
        (0.0, "test_error", "0.0 points"),
        (-1e-5, "test_error", "0.0 points"),
        (-0.004, "test_loss", "0.00"),
        (0.0712, "test_error", "+7.1 points"),
        (-0.5, "test_loss", "−0.50"),
    ],
)
def test_a_difference_that_is_rounded_to_nothing_has_no_sign(value, measure, said):
    assert claims.number(value, measure, differs=True, signed=True) == said


def test_an_interval_of_shares_ends_where_shares_do(narrow_plan):
    """Of 0.01 and 0.03 Student's t says 0.02 give or take 0.063."""
    values = pd.DataFrame([("a", "test_error", "", k, v) for k, v in ((0, 0.01), (1, 0.03))]).set_index([0, 1, 2, 3])[4]
    test = {"metric": "test_error", "layer": "", "at_most": 0.05, "spec": {"spec_id": "a", "settings": SGD}}
    found = claims._test(test, values, {}, Path(), narrow_plan)
    assert (found["low"], found["high"]) == pytest.approx((0, 0.02 + 0.01 * 6.3138), abs=1e-4)
    assert found["verdict"] == "undecided"


def test_a_quantity_names_the_data_that_the_scale_trains_on(root, monkeypatch):
    monkeypatch.chdir(root)
    plan = build_plan(read_yaml(root / "config/config.yaml"))
    claim = next(claim for claim in plan.claims if claim["id"] == "adam_l2_sparser_than_sgd")
    told = claims.quantity(claim["tests"][0], plan)
    assert told == "digits, sparsity: Adam L2 1e-3 − SGD L2 1e-3"
