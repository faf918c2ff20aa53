"""Prepared data: one file a dataset, the same bytes for every order and form of its source. Torch-free.

A prepared file is a safetensors file with `train_images`, `test_images` (uint8, (N, channels, height, width)) and
`train_labels`, `test_labels` (int64, (N,)), and with the class names, the channels' mean and deviation over the
training images (in [0, 1]) and the content digest as metadata. Of a dataset that is too large for that, it has
`train_files` and `test_files` (lines of UTF-8, as bytes) instead of images, and where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..paths import renders_of, shrunk_from
from ..seal import digest
from . import tensorfile
from .sources.base import SPLITS, ArraySource, FileSource, Source

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
    name: str,
    root: Path,
    out: Path,
    expected: str = "",
    mirror: str = "",
    rendered: Path | None = None,
    declared: Mapping[str, int] | None = None,
) -> str:
    """Bring a dataset into prepared form at `out`; returns its digest.

    Original data are looked for in `root`; those that may be downloaded are, from `mirror` if one is given. `rendered`
    are the stored renders that a dataset is composed of, where it is. `declared` says how many `classes`, `train` and
    `test` images there must be. Raises UserError, and writes nothing, for an unknown name, for data that are not whole,
    for other numbers than declared, and for a digest other than `expected`.
    """
    # Reading a prepared dataset needs neither the sources nor their packages.
    from .registry import DOWNLOADS, INDEXED, SOURCES

    if name in INDEXED:
        files = INDEXED[name](root)
        _check_declared(name, files, declared or {})
        return write_index(name, files, out, expected)
    base, side = shrunk_from(name) or (name, None)
    if base not in SOURCES:
        known = ", ".join([*SOURCES, *INDEXED])
        raise UserError(f"there is no source for the dataset {name!r}: there are {known}")
    if base in DOWNLOADS:
        DOWNLOADS[base](root, mirror)
    source = SOURCES[base](root, rendered) if renders_of(base) else SOURCES[base](root)
    _check_declared(name, source, declared or {})
    return write(name, source if side is None else shrink(source, side), out, expected)


def _check_declared(name: str, source: Source, declared: Mapping[str, int]) -> None:
    """Raise UserError if a source has not as many classes and images as are declared."""
    found = {"classes": len(source.classes), **{split: len(getattr(source, split)[1]) for split in SPLITS}}
    for key, number in declared.items():
        if found[key] == number:
            continue
        what, fewest = "classes", ""
        if key in SPLITS:
            counts = np.bincount(getattr(source, key)[1], minlength=len(source.classes))
            what, least = f"{key} images", int(counts.argmin())
            fewest = f" (fewest in {source.classes[least]}: {counts[least]:,})"
        raise UserError(
            f"{name} has {found[key]:,} {what}{fewest}, not {number:,}: get what is missing, or, to use a part of "
            "it on purpose, change its numbers in the file of datasets; the report prints them"
        )


def shrink(source: ArraySource, side: int) -> ArraySource:
    """The same images, uint8 (N, channels, side, side): means over squares of pixels, to the nearest level, half up.

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
    """Store a source's images sorted by their hashes, so that the source's order does not matter; returns the digest.

    The digest is SHA-256 in hex, of split, class name and pixels of each image. Beside the source, this needs memory
    for little more than a thousand images. Raises UserError, and writes nothing, if images are not uint8 (N, channels,
    height, width) with a label each, or if the digest is not `expected`.
    """
    orders, in_order = {}, []
    for split in SPLITS:
        images, labels = getattr(source, split)
        if not (images.dtype == np.uint8 and images.ndim == 4 and len(images) == len(labels) > 0):
            raise UserError(f"{name}: the {split} images are not uint8 (N, channels, height, width) with a label each")
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
    """Store the paths of a source's images; returns the digest, of split, class, name and size in bytes of each file.

    Raises UserError, and writes nothing, for an empty file, and if the digest is not `expected`.
    """
    arrays, lines = {}, []
    for split in SPLITS:
        files, labels = getattr(source, split)
        for file, label in zip(files, labels, strict=True):
            size = (source.root / file).stat().st_size
            if not size:
                raise UserError(f"{source.root / file} is empty: get it again")
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
    """Read a prepared dataset: its images, or, if they are too many for memory, the paths of their files.

    Raises UserError if the file is missing or damaged.
    """
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
