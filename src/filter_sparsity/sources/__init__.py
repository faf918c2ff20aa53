"""Where the images of each dataset come from: one function per source, from the folder of original data to `Source`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import cifar, tiny_imagenet
from .base import Files, Source
from .digits import digit_pairs, digits
from .imagenet import imagenet

__all__ = ["DOWNLOADS", "INDEXED", "SOURCES", "Files", "Source"]

SOURCES: dict[str, Callable[[Path], Source]] = {
    "digits": digits,
    "digit_pairs": digit_pairs,
    "cifar10": cifar.cifar10,
    "cifar100": cifar.cifar100,
    "tiny_imagenet": tiny_imagenet.tiny_imagenet,
}

# Datasets that are never whole in memory: what is prepared is an index of their files.
INDEXED: dict[str, Callable[[Path], Files]] = {"imagenet": imagenet}

# Original data that this project may fetch by itself: folder and mirror (or "") -> nothing, if they are there.
DOWNLOADS: dict[str, Callable[[Path, str], None]] = {
    "cifar10": cifar.fetch_cifar10,
    "cifar100": cifar.fetch_cifar100,
}
