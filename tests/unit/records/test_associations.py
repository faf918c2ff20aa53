"""What goes with a feature's universality: against scipy, and on layers made by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from filter_sparsity.records.associations import LEAST, associations, of_layers, rank_correlation


def test_the_rank_correlation_is_scipys_with_equal_values():
    draw = np.random.default_rng(0)
    for count in (LEAST, 17, 256):
        one, two = draw.integers(0, 6, count), draw.normal(size=count).round(1)
        one[0], one[1] = 0, 5
        assert rank_correlation(one, two) == pytest.approx(spearmanr(one, two).statistic)
    assert rank_correlation(np.arange(LEAST), np.arange(LEAST) ** 3) == pytest.approx(1)


def test_too_few_or_equal_values_have_no_correlation():
    assert rank_correlation(np.arange(LEAST - 1), np.arange(LEAST - 1)) is None
    assert rank_correlation(np.arange(9), np.ones(9)) is None
    assert rank_correlation(np.ones(9), np.arange(9)) is None


LAYER = {
    "gamma": np.array([1, -1, 0.5, 1, 0.2, 1, 9.9e-4, 0]),  # the last two are dead
    "beta": np.array([0.5, 0.4, 0.1, -0.1, -0.2, -3, 9, -9]),
    "universality": np.array([1, 0.9, 0.8, 0.7, 0.2, 0.1, 0, 1]),
    "l2_dominates": np.array([0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0, 0]),
}


def test_dead_features_do_not_count():
    found = associations(LAYER)
    assert found["universality_beta_difference"] == pytest.approx((1 + 0.9 + 0.8) / 3 - (0.7 + 0.2 + 0.1) / 3)
    # beta / |gamma| falls with universality: a negative gamma does not turn it around
    assert found["universality_beta_correlation"] == pytest.approx(1)
    selective = spearmanr(-LAYER["universality"][:6], LAYER["l2_dominates"][:6]).statistic
    assert found["selectivity_l2_correlation"] == pytest.approx(selective)
    assert selective > 0.9


def test_layers_without_a_value_are_absent():
    one_sign = {**LAYER, "beta": -np.abs(LAYER["beta"])}
    dead = {**LAYER, "gamma": np.zeros(8)}
    found = of_layers([("C1", LAYER), ("C2", one_sign), ("C3", dead)])
    assert [*found["universality_beta_difference"]] == ["C1"]
    assert [*found["selectivity_l2_correlation"]] == ["C1", "C2"]


def test_what_was_not_counted_is_no_metric():
    uncounted = {name: values for name, values in LAYER.items() if name != "l2_dominates"}
    assert {*of_layers([("C1", uncounted)])} == {"universality_beta_difference", "universality_beta_correlation"}
