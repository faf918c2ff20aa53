"""What every source gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

SPLITS = ("train", "test")
Images = TypeVar("Images", np.ndarray, list[str])


@dataclass(frozen=True)
class Source(Generic[Images]):
    """Images and labels int64 (N,) of each split; labels index `classes`."""

    classes: tuple[str, ...]
    train: tuple[Images, np.ndarray]
    test: tuple[Images, np.ndarray]


@dataclass(frozen=True)
class ArraySource(Source[np.ndarray]):
    """Images in memory: uint8 (N, channels, height, width)."""


@dataclass(frozen=True)
class FileSource(Source[list[str]]):
    """Images too many to hold: paths below `root`. They are cropped to `side`."""

    root: Path
    side: int
    mean: tuple[float, ...]  # of each channel, in [0, 1]
    deviation: tuple[float, ...]
