"""The measurements, as formulas on arrays, for records and for people's own networks. Torch-free.

Fractions are in [0, 1]. Thresholds are those of `metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import metrics


def dead_by_gamma(gamma: np.ndarray) -> np.ndarray:
    """Which features (filters,) have |gamma| < 1e-3."""
    return np.abs(gamma) < metrics.GAMMA_THRESHOLD


def dead_by_activation(largest: np.ndarray) -> np.ndarray:
    """Which features (filters,) never respond: largest |activation| over the whole training set below 1e-12."""
    return largest < metrics.ACTIVATION_THRESHOLD


def universality(spatial_max: np.ndarray) -> np.ndarray:
    """Share of the images that activate each feature (filters,), from spatial maxima (images, filters).

    An image activates a feature if its spatial maximum, divided by the feature's maximum over all images, exceeds 1e-3.
    A feature whose maximum is not positive is activated by none. Selectivity is 1 - universality. (Section 2)
    """
    return (spatial_max > metrics.UNIVERSALITY_THRESHOLD * spatial_max.max(axis=0)).mean(axis=0)


def mean_of_living(values: np.ndarray, dead: np.ndarray) -> float | None:
    """Mean of the values (filters,) of a layer's living features; None if none lives. `dead` (filters,) are the others.

    (Section 2: a dead feature responds to no image; the supplement does not call it selective)
    """
    living = values[~dead]
    return float(living.mean()) if living.size else None


def share_positive(values: np.ndarray, dead: np.ndarray) -> float | None:
    """Share of a layer's living features whose value (filters,) is above 0; None if none lives.

    `dead` (filters,) says which features do not count: regularization has taken their scale to 0, and its sign says
    nothing. (Section 2: Adam learns positive scales and negative biases)
    """
    return mean_of_living(values > 0, dead)


def total(shares: Sequence[float], filters: Sequence[int]) -> float:
    """Share of all features, from each layer's share: the column "Total" of the tables."""
    return float(np.dot(shares, filters) / np.sum(filters))


def conv_parameters(filters: Sequence[float], kernels: Sequence[int], channels: int, bias: bool = False) -> float:
    """Convolutional parameters of a stack on `channels` input channels, one layer's filters the next one's channels.

    `filters` need not be whole numbers: means over seeds may be given.
    """
    inputs = [channels, *filters[:-1]]
    return sum(f * (k * k * i + bias) for f, k, i in zip(filters, kernels, inputs, strict=True))


def params_pruned(
    shares: Sequence[float], filters: Sequence[int], kernels: Sequence[int], channels: int, bias: bool = False
) -> float:
    """Share of convolutional parameters removed with pruned filters and with their input channels in the next layer.

    `shares` are the pruned shares of the layers, C1 first. (Table 1, "% Param Pruned")
    """
    kept = [f * (1 - s) for f, s in zip(filters, shares, strict=True)]
    return 1 - conv_parameters(kept, kernels, channels, bias) / conv_parameters(filters, kernels, channels, bias)
