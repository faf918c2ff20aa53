"""Where the images of each dataset come from: one function per source, from the folder of originals to a `Source`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..paths import COMPOSED
from .renders import compose
from .sources import cifar, tiny_imagenet
from .sources.base import ArraySource, FileSource
from .sources.digits import digit_pairs, digits
from .sources.imagenet import imagenet

SOURCES: dict[str, Callable[..., ArraySource]] = {
    "digits": digits,
    "digit_pairs": digit_pairs,
    "cifar10": cifar.cifar10,
    "cifar100": cifar.cifar100,
    "tiny_imagenet": tiny_imagenet.tiny_imagenet,
    **{f"{family}_{kind}": partial(compose.load, f"{family}_{kind}") for family in compose.MODELS for kind in COMPOSED},
}

# Datasets that are never whole in memory: what is prepared is an index of their files.
INDEXED: dict[str, Callable[[Path], FileSource]] = {"imagenet": imagenet}

# Original data that this project may fetch by itself: folder and mirror (or "") -> nothing, if they are there.
DOWNLOADS: dict[str, Callable[[Path, str], None]] = {
    "cifar10": cifar.fetch_cifar10,
    "cifar100": cifar.fetch_cifar100,
}
