"""The statistics of verdicts: against tables, closed forms, and simulated seeds whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from filter_sparsity.verdict.statistics import (
    LEVEL,
    Estimate,
    Range,
    Sample,
    confidence_interval,
    covers_all_shares,
    estimate,
    holm,
    moderated,
    p_values,
)


def test_an_interval_by_hand():
    """0.1, 0.2 and 0.3: deviation 0.1, and Student's t at 95 % of one side with 2 degrees of freedom is 2.920."""
    mean, low, high, n = confidence_interval(pd.Series([0.1, 0.2, 0.3]))
    assert (mean, n) == (pytest.approx(0.2), 3)
    assert high - mean == pytest.approx(2.920 * 0.1 / math.sqrt(3), rel=1e-3)
    assert mean - low == pytest.approx(high - mean)


def decided(region, bound, quantity):
    confirmed, refuted = p_values(region, bound, quantity)
    return "confirmed" if confirmed <= LEVEL else "refuted" if refuted <= LEVEL else "undecided"


@pytest.mark.parametrize("kind", ["range", "estimate"])
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
def test_a_region_is_decided_by_the_interval(kind, region, bound, low, high, verdict):
    """Of an estimate the p-values say what its interval of 90 % says; t of 4 degrees of freedom is 2.1318."""
    middle = (low + high) / 2
    known = Range(middle, (low, high)) if kind == "range" else Estimate(middle, (high - middle) / 2.1318468, 4)
    assert known.interval == pytest.approx((low, high))
    assert decided(region, bound, known) == verdict


def test_without_any_spread_the_value_decides():
    known = estimate(Sample(0.2, 0.0, 3, 2))
    assert known.interval == (0.2, 0.2)
    assert [decided("at_least", bound, known) for bound in (0.2, 0.3)] == ["confirmed", "refuted"]


def test_holm_by_hand():
    """The smallest of three counts threefold, the next twofold, and none less than one before it."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_a_variance_is_drawn_towards_the_common_one():
    """Both have m (1 - m) = 0.25; variances 0.01 and 0.03 with 2 degrees of freedom each, so the common one is 0.02."""
    frame = pd.DataFrame(
        {"spec_id": ["a", "b"], "metric": "test_error", "layer": "", "n": 3, "mean": 0.5, "sd": [0.1, 0.03**0.5]}
    )
    found = moderated(frame, prior_df=1)
    assert [*found["df"]] == [3, 3]
    assert [*found["variance"]] == pytest.approx([(2 * 0.01 + 0.02) / 3, (2 * 0.03 + 0.02) / 3])
    assert [*moderated(frame, prior_df=9)["df"]] == [4, 4]  # no more than the other spec has


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("alike", [3, 10, math.inf])  # how much variances differ: degrees of freedom of their spread
def test_intervals_cover_the_truth_in_nine_of_ten_cases(n, alike):
    """37 specs with shares from 0.05 to 0.95, 300 times: means, and differences of two."""
    random = np.random.default_rng(n)
    means, differences = [], []
    for _ in range(300):
        truth = random.uniform(0.05, 0.95, 37)
        scale = alike / random.chisquare(alike, 37) if alike < math.inf else np.ones(37)
        seeds = random.normal(truth[:, None], np.sqrt(0.02 * truth * (1 - truth) * scale)[:, None], (37, n))
        frame = pd.DataFrame({"mean": seeds.mean(1).clip(0, 1), "sd": seeds.std(1, ddof=1)})
        frame = moderated(frame.assign(metric="test_error", layer="", n=n), prior_df=3)
        samples = [Sample(*line) for line in frame[["mean", "variance", "df", "n"]].itertuples(index=False)]
        for i, sample in enumerate(samples):
            low, high = estimate(sample).interval
            means.append(low <= truth[i] <= high)
        for i in range(0, 36, 2):
            low, high = estimate(samples[i], samples[i + 1]).interval
            differences.append(low <= truth[i] - truth[i + 1] <= high)
    assert 0.89 <= np.mean(means) <= 0.97
    assert 0.89 <= np.mean(differences) <= 0.97


def test_a_tolerance_of_all_shares_tells_nothing():
    frame = pd.DataFrame(
        {"metric": ["test_error", "test_error", "test_loss"], "paper": 0.4, "tolerance": [0.6, 0.5, 9]}
    )
    assert [*covers_all_shares(frame["metric"], frame["paper"], frame["tolerance"])] == [True, False, False]
