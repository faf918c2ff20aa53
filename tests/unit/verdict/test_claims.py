"""Claims, on the paper's own numbers and on intervals made by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from filter_sparsity.errors import UserError
from filter_sparsity.paths import TOLERANCES
from filter_sparsity.planning.build import build_plan
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.spec import Network
from filter_sparsity.verdict import claims, labels
from helpers.claims import measurements, weighed
from helpers.experiments import changed

SGD = {"optimizer": "sgd"}
NOT_PRINTED = {
    "adam_signs",
    "sgd_positive_biases",
    "sgd_positive_scales",
    "early_and_late_on_cifar100",  # of SGD; Adam's numbers are there
    "adam_late_layers_selective",
    "adam_selective_on_cifar100",
    "sgd_positive_biases_universal",
    "selectivity_from_negative_bias",
    "selective_features_low_gradients",
    "clutter_changes_sparsity",
}
SIMULATED = {
    "low_gradients_adam_kin",
    "low_gradients_weak_l2",
    "low_gradients_amsgrad_dampened",
    "low_gradients_slow_rate",
    "low_gradients_adaptive",
}
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
    "pruning_costs_nothing",
    "sparsity_measures_agree",
    "cifar100_less_sparse",
    "sgd_l2_like_weight_decay",
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
    assert claims.combine(as_tests(verdicts)) == together


def as_tests(verdicts):
    return [(verdict.removeprefix("given "), verdict.startswith("given")) for verdict in verdicts]


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        (["confirmed", "refuted"], "confirmed"),
        (["confirmed", "not measured"], "confirmed"),
        (["refuted", "refuted"], "refuted"),
        (["refuted", "not measured"], "not measured"),
        (["refuted", "undecided"], "undecided"),
        (["given undecided", "confirmed"], "undecided"),
        (["given refuted", "confirmed"], "undecided"),
        (["given confirmed", "refuted"], "refuted"),
    ],
)
def test_a_claim_that_any_test_confirms(verdicts, together):
    assert claims.combine(as_tests(verdicts), "any") == together


@pytest.fixture
def narrow_plan(paper_plan):
    """A plan of specs a to d: 16 features in C2, and 232 in all, as BasicNet has at an eighth of the width."""
    network = Network("basicnet", (8, 16, 16, 32, 32, 64, 64), (5, 3, 3, 3, 3, 3, 3), (1, 3, 5, 7), False, (256,))
    spec = replace(next(iter(paper_plan.specs.values())), network=network)
    return replace(paper_plan, specs=dict.fromkeys("abcd", spec))


def side(name):
    return {"spec_id": name, "settings": SGD}


def test_a_difference_is_of_two_samples(narrow_plan):
    """Welch by hand: a is 0.5 and 0.7, b 0.2, 0.3 and 0.4. Of c there is one seed, of d none."""
    lines = [("a", "test_loss", "", k, v) for k, v in enumerate((0.5, 0.7))]
    lines += [("b", "test_loss", "", k, v) for k, v in enumerate((0.2, 0.3, 0.4))] + [("c", "test_loss", "", 0, 0.1)]

    def against(baseline, prior_df=0):
        test = {"metric": "test_loss", "layer": "", "at_least": 0.05, "spec": side("a"), "baseline": side(baseline)}
        return weighed(narrow_plan, lines, test, prior_df=prior_df)

    found = against("b")
    test = scipy.stats.ttest_ind([0.5, 0.7], [0.2, 0.3, 0.4], equal_var=False)
    assert (found["n"], found["effect"]) == (2, pytest.approx(0.3))
    assert (found["low"], found["high"]) == pytest.approx(tuple(test.confidence_interval(0.9)))
    shifted = scipy.stats.ttest_ind([0.45, 0.65], [0.2, 0.3, 0.4], equal_var=False, alternative="greater")
    assert found["p_confirmed"] == pytest.approx(shifted.pvalue)
    assert [found[key] for key in ("spec", "baseline", "seeds", "baseline_seeds")] == ["a", "b", "0 1", "0 1 2"]
    assert (against("c")["n"], against("c")["verdict"]) == (1, "undecided")
    assert (against("d")["n"], against("d")["verdict"]) == (0, "not measured")
    moderated = against("b", prior_df=3)
    assert moderated["high"] - moderated["low"] < found["high"] - found["low"]  # more degrees of freedom


@pytest.mark.parametrize(
    ("metric", "layer", "living", "half"),
    [
        ("sparsity_by_gamma", "C2", 0.0, 2.1318 / 16 / 2**0.5),  # t of 4 degrees of freedom; one filter of 16
        ("sparsity_by_gamma", "total", 0.0, 2.1318 / 232 / 2**0.5),
        ("gamma_positive", "C2", 0.75, 2.1318 / 4 / 2**0.5),  # one of the four that live
    ],
)
def test_no_share_of_features_is_known_better_than_by_one(narrow_plan, metric, layer, living, half):
    lines = [(name, metric, layer, k, 0.0) for name in "abcd" for k in (0, 1)]
    lines += [("a", "sparsity_by_gamma", layer, k, living) for k in (0, 1) if living]
    found = weighed(narrow_plan, lines, {"metric": metric, "layer": layer, "at_least": 0.1, "spec": side("a")})
    assert found["high"] == pytest.approx(half, abs=1e-4)


def test_other_specs_tell_how_much_two_seeds_vary(narrow_plan):
    """Two seeds 0.40 and 0.48: Student's t alone says 0 to 1. Other specs tell how much seeds vary."""
    lines = [("a", "test_error", "", k, v) for k, v in enumerate((0.40, 0.48))]
    lines += [("b", "test_error", "", k, v) for k, v in enumerate((0.50, 0.54))]
    lines += [("c", "test_error", "", k, v) for k, v in enumerate((0.30, 0.32, 0.34))]
    found = weighed(narrow_plan, lines, {"metric": "test_error", "layer": "", "at_least": 0.1, "spec": side("a")})
    assert found["high"] - found["low"] < 0.15


def test_records_older_than_a_measure_do_not_count(narrow_plan):
    """Of spec a seeds 1 and 2 have it; of spec b none."""
    lines = [("a", "universality", "C6", k, 0.5) for k in range(3)] + [("b", "universality", "C6", 0, 0.5)]
    lines += [("a", "universality_living", "C6", k, 0.75) for k in (1, 2)]

    def found(spec):
        test = {"metric": "universality_living", "layer": "C6", "at_least": 0.7, "spec": side(spec)}
        return weighed(narrow_plan, lines, test)

    assert (found("a")["n"], found("a")["effect"], found("a")["verdict"]) == (2, 0.75, "confirmed")
    assert (found("b")["n"], found("b")["verdict"]) == (0, "not measured")


def test_a_difference_of_two_metrics_is_taken_run_by_run(narrow_plan):
    lines = [("a", "test_error", "", k, v) for k, v in ((0, 0.1), (1, 0.3))]
    lines += [("a", "pruned_test_error", "", k, v) for k, v in ((0, 0.104), (1, 0.302))]
    found = weighed(narrow_plan, lines, {"metric": "pruning_cost", "layer": "", "within": 0.02, "spec": side("a")})
    assert (found["effect"], found["found"][:10]) == (pytest.approx(0.003), "0.3 points")
    assert found["verdict"] == "confirmed"


def test_a_true_claim_of_eight_tests_is_seldom_refuted(narrow_plan):
    """Eight quantities exactly at their bounds, two seeds each, 400 times: at most 5 % refuted, by Holm."""
    random, wrong = np.random.default_rng(1), 0
    names = "abcdefgh"
    for _ in range(400):
        values = random.normal(0.4, 0.03, (len(names), 2))
        lines = [
            (name, "test_error", "", k, v) for name, own in zip(names, values, strict=True) for k, v in enumerate(own)
        ]
        plan = replace(narrow_plan, specs=dict.fromkeys(names, next(iter(narrow_plan.specs.values()))))
        tests = [{"metric": "test_error", "layer": "", "at_least": 0.4, "spec": side(name)} for name in names]
        judged = claims.judge_claim({"tests": tests}, measurements(plan, lines))
        wrong += claims.combine([(test["verdict"], False) for test in judged]) == "refuted"
    assert wrong / 400 < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


def test_a_simulated_claim_compares_half_lives(narrow_plan, tmp_path):
    """Adam's is 1000, SGD's 7000; AMSGrad's is not over at 10,000."""
    lines = [("Adam", "l2", 1e-4, 1000, 900, 1100), ("SGD", "l2", 1e-4, 7000, 6600, 7200)]
    lines.append(("AMSGrad", "l2", 1e-4, math.inf, 10000, math.inf))
    frame = pd.DataFrame(lines, columns=["panel", "regularizer", "strength", "median", "low", "high"])
    frame.to_csv(tmp_path / "figure3_half_lives.csv", index=False)
    curve = {"regularizer": "l2", "strength": 1e-4, "settings": {"optimizer": "x"}}

    def found(spec, baseline, at_least):
        test = {"simulated": "figure3", "metric": "half_life", "layer": "", "at_least": at_least, "repeats": 20}
        test |= {"spec": curve | {"panel": spec}, "baseline": curve | {"panel": baseline}}
        return weighed(narrow_plan, [], test, simulations=tmp_path)

    sgd = found("SGD", "Adam", 3)
    assert (sgd["basis"], sgd["n"], sgd["verdict"]) == ("simulation", 20, "confirmed")
    assert (sgd["effect"], sgd["low"], sgd["high"]) == pytest.approx((7, 6, 8))
    assert sgd["found"] == "7.0 times (6.0 to 8.0)"
    assert [sgd[key] for key in ("spec", "baseline", "seeds")] == ["", "", ""]  # no network's
    assert found("SGD", "Adam", 7)["verdict"] == "undecided"
    assert found("SGD", "Adam", 8.5)["verdict"] == "refuted"
    assert (found("AMSGrad", "Adam", 9)["verdict"], found("AMSGrad", "Adam", 9)["found"]) == (
        "confirmed",
        "more than 9.1 times",
    )
    assert found("AMSGrad", "Adam", 10)["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("outside: 0.02}", "outside: 0.02, within: 0.1}", "exactly one of at_least, at_most, within, outside"),
        (
            "&scalar_sgd_1e-4 {optimizer: sgd, l2: 1e-4}",
            "&scalar_sgd_1e-4 {optimizer: sgd, l2: 2e-4}",
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
        ("metric: gamma_positive, layers", "metric: half_life, layers", "a half-life is what a figure has `simulated`"),
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
    assert labels.number(value, measure, differs=True, signed=True) == said


def test_an_interval_of_shares_ends_where_shares_do(narrow_plan):
    """Of 0.01 and 0.03 Student's t says 0.02 give or take 0.063; no other spec is there to tell more."""
    lines = [("a", "test_error", "", k, v) for k, v in ((0, 0.01), (1, 0.03))]
    found = weighed(narrow_plan, lines, {"metric": "test_error", "layer": "", "at_most": 0.05, "spec": side("a")})
    assert (found["low"], found["high"]) == pytest.approx((0, 0.02 + 0.01 * 6.3138), abs=1e-4)
    assert found["verdict"] == "undecided"


def test_a_quantity_names_the_data_that_the_scale_trains_on(root, monkeypatch):
    monkeypatch.chdir(root)
    plan = build_plan(read_yaml(root / "config/config.yaml"))
    claim = next(claim for claim in plan.claims if claim["id"] == "adam_l2_sparser_than_sgd")
    told = labels.quantity(claim["tests"][0], plan)
    assert told == "digits, sparsity: Adam L2 1e-3 − SGD L2 1e-3"
