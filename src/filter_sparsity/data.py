"""Prepared data: one file a dataset, the same whatever order or form its source came in. Torch-free.

A prepared file is a safetensors file with `train_images`, `test_images` (uint8, (N, channels, height, width)) and
`train_labels`, `test_labels` (int64, (N,)), and with the class names, the channels' mean and deviation over the
training images (in [0, 1]) and the content digest as metadata.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from .errors import UserError
from .paths import whole
from .sources import DOWNLOADS, SOURCES, Source

SPLITS = ("train", "test")
CHUNK = 1000  # images that are counted or written at once


@dataclass(frozen=True)
class Prepared:
    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of each channel over the training images, in [0, 1]
    deviation: tuple[float, ...]
    digest: str
    images: dict[str, np.ndarray]  # by split, uint8 (N, channels, height, width)
    labels: dict[str, np.ndarray]  # by split, int64 (N,)


def prepare(name: str, root: Path, out: Path, digest: str = "", mirror: str = "") -> str:
    """Bring a dataset into prepared form at `out`; returns its digest.

    Original data are looked for in `root`; those that may be downloaded are, from `mirror` if one is given. Raises
    UserError for an unknown name, for data that are not whole, and for others than those of `digest`.
    """
    if name not in SOURCES:
        raise UserError(f"there is no source for the dataset {name!r}: there are {', '.join(SOURCES)}")
    if name in DOWNLOADS:
        DOWNLOADS[name](root, mirror)
    return write(name, SOURCES[name](root), out, digest)


def write(name: str, source: Source, out: Path, expected: str = "") -> str:
    """Store a source's images in canonical order: by hash, so that the order of the source leaves no trace.

    Beside the source, this needs memory for little more than `CHUNK` images. Raises UserError, and writes nothing, if
    the content has not the digest that was expected.
    """
    orders, digest = {}, hashlib.sha256()
    for split in SPLITS:
        images, labels = getattr(source, split)
        if not (images.dtype == np.uint8 and images.ndim == 4 and len(images) == len(labels) > 0):
            raise UserError(f"{name}: the {split} images are not what a source must give")
        hashes = [
            hashlib.sha256(f"{split} {source.classes[label]} ".encode() + image.tobytes()).digest()
            for image, label in zip(images, labels, strict=True)
        ]
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        for i in order:
            digest.update(hashes[i])
        orders[split] = np.array(order)
    if expected and digest.hexdigest() != expected:
        raise UserError(
            f"this is not the same data as {name}: its content digest is {digest.hexdigest()}, not {expected}"
        )
    levels = _levels(source.train[0])
    mean = levels @ np.arange(256) / 255
    deviation = np.sqrt(levels @ (np.arange(256) / 255) ** 2 - mean**2)
    metadata = {
        "name": name,
        "digest": digest.hexdigest(),
        "classes": source.classes,
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
    }
    # One entry of metadata, since safetensors writes several in random order. Wider numbers come first in such a file.
    arrays = {f"{split}_labels": getattr(source, split)[1][orders[split]].astype(np.int64) for split in sorted(SPLITS)}
    shapes = {f"{split}_images": getattr(source, split)[0].shape for split in sorted(SPLITS)}
    header: dict[str, Any] = {"__metadata__": {"prepared": json.dumps(metadata)}}
    end = 0
    for key, dtype, shape, size in (
        *((key, "I64", array.shape, array.nbytes) for key, array in arrays.items()),
        *((key, "U8", shape, math.prod(shape)) for key, shape in shapes.items()),
    ):
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": (end, end := end + size)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with whole(out) as beside, beside.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.tobytes())
        for split in sorted(SPLITS):
            images = getattr(source, split)[0]
            for start in range(0, len(images), CHUNK):
                file.write(images[orders[split][start : start + CHUNK]].tobytes())
    return digest.hexdigest()


def _levels(images: np.ndarray) -> np.ndarray:
    """Of each channel, the share of pixels at each of the 256 levels (channels, 256)."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), CHUNK):
        for channel, pixels in enumerate(images[start : start + CHUNK].transpose(1, 0, 2, 3)):
            counts[channel] += np.bincount(pixels.ravel(), minlength=256)
    return counts / (images.size // images.shape[1])


def read(path: Path) -> Prepared:
    """A prepared dataset. Raises UserError if the file is missing or is not whole."""
    try:
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = json.loads(file.metadata()["prepared"])
        return Prepared(
            name=metadata["name"],
            classes=tuple(metadata["classes"]),
            mean=tuple(metadata["mean"]),
            deviation=tuple(metadata["deviation"]),
            digest=metadata["digest"],
            images={split: arrays[f"{split}_images"] for split in SPLITS},
            labels={split: arrays[f"{split}_labels"] for split in SPLITS},
        )
    except FileNotFoundError:
        raise UserError(f"{path} is not there: make it with `filter-sparsity prepare`") from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a whole prepared dataset ({error}): delete it and prepare it again") from None
