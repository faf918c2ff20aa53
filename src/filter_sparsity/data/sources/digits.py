"""Scanned digits that ship in scikit-learn, and pairs of them: stand-ins for CIFAR where there is little time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .base import ArraySource


def digits(root: Path) -> ArraySource:
    """scikit-learn's 1,797 scanned digits, 8x8, each pixel drawn as 2x2. Every fifth scan of a class is for testing."""
    scans, labels, test = _scans()
    images = scans.repeat(2, axis=1).repeat(2, axis=2)[:, None]
    return ArraySource(
        classes=tuple(str(d) for d in range(10)),
        train=(images[~test], labels[~test]),
        test=(images[test], labels[test]),
    )


def digit_pairs(root: Path) -> ArraySource:
    """Two scans side by side, each pixel drawn two high, classes 00 to 99; 30 pairs of a class to train on, 10 to test.

    Training pairs are drawn from the training scans of `digits` only, test pairs from its test scans only. No pair
    stands in a split twice.
    """
    scans, labels, test = _scans()
    rng = np.random.default_rng(0)

    def pairs(scans: np.ndarray, labels: np.ndarray, per_class: int) -> tuple[np.ndarray, np.ndarray]:
        images, classes = [], []
        for number in range(100):
            left, right = (np.flatnonzero(labels == d) for d in divmod(number, 10))
            chosen = rng.choice(len(left) * len(right), per_class, replace=False)
            canvas = np.zeros((per_class, 1, 16, 16), np.uint8)
            canvas[:, 0, :, :8] = scans[left[chosen // len(right)]].repeat(2, axis=1)
            canvas[:, 0, :, 8:] = scans[right[chosen % len(right)]].repeat(2, axis=1)
            images.append(canvas)
            classes.append(np.full(per_class, number))
        return np.concatenate(images), np.concatenate(classes)

    return ArraySource(
        classes=tuple(f"{number:02d}" for number in range(100)),
        train=pairs(scans[~test], labels[~test], 30),
        test=pairs(scans[test], labels[test], 10),
    )


def _scans() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scans uint8 (1797, 8, 8), labels (1797,), and which are for testing (1797,)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    scans = np.round(data.images * (255 / 16)).astype(np.uint8)  # 17 levels of ink
    labels = data.target.astype(np.int64)
    test = np.zeros(len(labels), bool)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[4::5]] = True
    return scans, labels, test
