"""Prepared data: one file a dataset, the same whatever order or form its source came in. Torch-free.

A prepared file is a safetensors file with `train_images`, `test_images` (uint8, (N, channels, height, width)) and
`train_labels`, `test_labels` (int64, (N,)), and with the class names, the channels' mean and deviation over the
training images (in [0, 1]) and the content digest as metadata. Of a dataset that is too large for that, it has
`train_files` and `test_files` (lines of UTF-8, as bytes) instead of images, and where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..paths import renders_of, shrunk_from
from ..seal import digest
from . import tensorfile
from .sources.base import SPLITS, ArraySource, FileSource

CHUNK = 1000  # images that are counted at once


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset."""

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of each channel over the training images, in [0, 1]
    deviation: tuple[float, ...]
    digest: str  # of the content; of files, of their names, classes and sizes
    labels: dict[str, np.ndarray]  # by split, int64 (N,)
    channels: int
    side: int  # pixels; of files, of their crops


@dataclass(frozen=True)
class PreparedArrays(Prepared):
    """A dataset in memory."""

    images: dict[str, np.ndarray]  # by split, uint8 (N, channels, side, side)


@dataclass(frozen=True)
class PreparedFiles(Prepared):
    """A dataset whose images stay in their files until they are needed."""

    root: Path
    files: dict[str, list[str]]  # by split, below `root`


def prepare(
    name: str, root: Path, out: Path, expected: str = "", mirror: str = "", rendered: Path | None = None
) -> str:
    """Bring a dataset into prepared form at `out`; returns its digest.

    Original data are looked for in `root`; those that may be downloaded are, from `mirror` if one is given. `rendered`
    are the stored renders that a dataset is composed of, where it is. Raises UserError for an unknown name, for data
    that are not whole, and for a digest other than `expected`.
    """
    # Reading a prepared dataset needs neither the sources nor their packages.
    from .registry import DOWNLOADS, INDEXED, SOURCES

    if name in INDEXED:
        return write_index(name, INDEXED[name](root), out, expected)
    base, side = shrunk_from(name) or (name, None)
    if base not in SOURCES:
        known = ", ".join([*SOURCES, *INDEXED])
        raise UserError(f"there is no source for the dataset {name!r}: there are {known}")
    if base in DOWNLOADS:
        DOWNLOADS[base](root, mirror)
    source = SOURCES[base](root, rendered) if renders_of(base) else SOURCES[base](root)
    return write(name, source if side is None else shrink(source, side), out, expected)


def shrink(source: ArraySource, side: int) -> ArraySource:
    """The same images with means over squares of pixels, rounded to the nearest level, half up.

    Raises UserError for a side that does not divide the images'.
    """

    def smaller(images: np.ndarray) -> np.ndarray:
        n, channels, before, _ = images.shape
        factor, rest = divmod(before, side)
        if rest or not factor:
            raise UserError(f"images of side {before} cannot be averaged to side {side}: it does not divide theirs")
        squares = images.reshape(n, channels, side, factor, side, factor)
        return ((squares.sum((3, 5), np.uint32) * 2 + factor**2) // (2 * factor**2)).astype(np.uint8)

    def part(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate([smaller(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]), labels

    return replace(source, train=part(*source.train), test=part(*source.test))


def write(name: str, source: ArraySource, out: Path, expected: str = "") -> str:
    """Store a source's images in canonical order: by hash, so that the order of the source leaves no trace.

    Beside the source, this needs memory for little more than a thousand images. Raises UserError, and writes nothing,
    if the content has not the digest that was expected.
    """
    orders, in_order = {}, []
    for split in SPLITS:
        images, labels = getattr(source, split)
        if not (images.dtype == np.uint8 and images.ndim == 4 and len(images) == len(labels) > 0):
            raise UserError(f"{name}: the {split} images are not what a source must give")
        hashes = [
            digest([f"{split} {source.classes[label]} ".encode(), image.tobytes()])
            for image, label in zip(images, labels, strict=True)
        ]
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        in_order += [hashes[i] for i in order]
        orders[split] = np.array(order)
    found = digest(map(bytes.fromhex, in_order))
    _expect(name, found, expected)
    levels = _levels(source.train[0])
    mean = levels @ np.arange(256) / 255
    deviation = np.sqrt(levels @ (np.arange(256) / 255) ** 2 - mean**2)
    metadata = {
        "name": name,
        "digest": found,
        "classes": source.classes,
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
    }
    splits = {split: getattr(source, split) for split in SPLITS}
    arrays = {f"{split}_images": images for split, (images, _) in splits.items()}
    arrays |= {f"{split}_labels": labels.astype(np.int64) for split, (_, labels) in splits.items()}
    tensorfile.write(out, "prepared", metadata, arrays, {key: orders[key.partition("_")[0]] for key in arrays})
    return found


def write_index(name: str, source: FileSource, out: Path, expected: str = "") -> str:
    """Store where a source's images are. Raises UserError if the digest is not the one that was expected."""
    arrays, lines = {}, []
    for split in SPLITS:
        files, labels = getattr(source, split)
        for file, label in zip(files, labels, strict=True):
            size = (source.root / file).stat().st_size
            lines.append(f"{split} {source.classes[label]} {Path(file).name} {size}\n")
        arrays[f"{split}_files"] = np.frombuffer("\n".join(files).encode(), np.uint8)
        arrays[f"{split}_labels"] = labels
    found = digest(line.encode() for line in sorted(lines))
    _expect(name, found, expected)
    metadata: dict[str, Any] = {"name": name, "digest": found, "classes": source.classes, "mean": source.mean}
    metadata |= {"deviation": source.deviation, "root": str(source.root), "side": source.side}
    tensorfile.write(out, "prepared", metadata, arrays)
    return found


def _expect(name: str, found: str, expected: str) -> None:
    if expected and found != expected:
        raise UserError(f"this is not the same data as {name}: its content digest is {found}, not {expected}")


def _levels(images: np.ndarray) -> np.ndarray:
    """Of each channel, the share of pixels at each of the 256 levels (channels, 256)."""
    from PIL import Image

    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), CHUNK):
        for channel, pixels in enumerate(images[start : start + CHUNK].transpose(1, 0, 2, 3)):
            # Pillow counts bytes five times as fast as numpy.
            counts[channel] += Image.fromarray(pixels.reshape(len(pixels), -1)).histogram()
    return counts / (images.size // images.shape[1])


def read(path: Path) -> PreparedArrays | PreparedFiles:
    """A prepared dataset. Raises UserError if the file is missing or is not whole."""
    with tensorfile.reading(path, "prepared", "prepare", "is not a whole prepared dataset") as (arrays, metadata):
        common: dict[str, Any] = {key: metadata[key] for key in ("name", "digest")}
        common |= {key: tuple(metadata[key]) for key in ("classes", "mean", "deviation")}
        common["labels"] = {split: arrays[f"{split}_labels"] for split in SPLITS}
        if "root" in metadata:
            lines = {split: arrays[f"{split}_files"].tobytes().decode().split("\n") for split in SPLITS}
            where: dict[str, Any] = {"root": Path(metadata["root"]), "files": lines}
            return PreparedFiles(**common, **where, channels=3, side=metadata["side"])
        images = {split: arrays[f"{split}_images"] for split in SPLITS}
        _, channels, side, _ = images["train"].shape
        return PreparedArrays(**common, channels=channels, side=side, images=images)
