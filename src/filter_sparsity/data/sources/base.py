"""What every source gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Source:
    """Images uint8 (N, channels, height, width) and labels int64 (N,) of each split; labels index `classes`."""

    classes: tuple[str, ...]
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Files:
    """Images too many to hold: of each split, paths below `root` and labels int64 (N,); they are cropped to `side`."""

    root: Path
    side: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of each channel, in [0, 1]
    deviation: tuple[float, ...]
    train: tuple[list[str], np.ndarray]
    test: tuple[list[str], np.ndarray]
