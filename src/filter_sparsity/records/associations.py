"""How a layer's features differ: what goes with a feature's universality. Torch-free.

Formulas on arrays (filters,) of one layer. Only features that live by gamma count: the others respond to nothing, or to
everything. Records have the metrics of `of_layers`; the archive computes them for records that are older.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..metrics import GAMMA_THRESHOLD

LEAST = 5  # features that a correlation needs: the standard error of one of fewer is over 0.5, 1 / sqrt(n - 1)

Columns = Mapping[str, np.ndarray]  # of features.csv, by name: a value for each feature of a layer


def rank_correlation(one: np.ndarray, two: np.ndarray) -> float | None:
    """Spearman's, with mean ranks for equal values; None for fewer than 5 values, or where all are equal."""
    if len(one) < LEAST or min(np.ptp(one), np.ptp(two)) == 0:
        return None
    return float(np.corrcoef(_ranks(one), _ranks(two))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def associations(columns: Columns) -> dict[str, float | None]:
    """Metrics of one layer, None where they have no value.

    `universality_beta_difference`: mean universality of features with beta > 0 minus that of those with beta < 0.
    `universality_beta_correlation`: of universality and beta / |gamma|. (Sections 2 and 3: selectivity results from
    negative beta where gamma is positive)
    `selectivity_l2_correlation`: of selectivity, 1 - universality, and `l2_dominates`, the share of steps in which L2
    outweighed gamma's gradient; only of runs that have this column. (Section 2: higher selectivity leads to more
    iterations in a low gradient regime)
    """
    living = np.abs(columns["gamma"]) >= GAMMA_THRESHOLD
    gamma, beta, universality = (columns[name][living] for name in ("gamma", "beta", "universality"))
    up, down = universality[beta > 0], universality[beta < 0]
    found = {
        "universality_beta_difference": float(up.mean() - down.mean()) if up.size and down.size else None,
        "universality_beta_correlation": rank_correlation(universality, beta / np.abs(gamma)),
    }
    if "l2_dominates" in columns:
        dominated = columns["l2_dominates"][living]
        found["selectivity_l2_correlation"] = rank_correlation(-universality, dominated)
    return found


def of_layers(features: Iterable[tuple[str, Columns]]) -> dict[str, dict[str, float]]:
    """The metrics of `associations` by metric and layer, from each layer's features; no layer without a value."""
    measured: dict[str, dict[str, float]] = {}
    for layer, columns in features:
        for metric, value in associations(columns).items():
            own = measured.setdefault(metric, {})
            if value is not None:
                own[layer] = value
    return measured
