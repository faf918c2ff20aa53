"""Prepared data: one file a dataset, the same whatever order or form its source came in. Torch-free.

A prepared file is a safetensors file with `train_images`, `test_images` (uint8, (N, channels, height, width)) and
`train_labels`, `test_labels` (int64, (N,)), and with the class names, the channels' mean and deviation over the
training images (in [0, 1]) and the content digest as metadata.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .errors import UserError
from .paths import renders_of, whole
from .sources import SOURCES, Source

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Prepared:
    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of each channel over the training images, in [0, 1]
    deviation: tuple[float, ...]
    digest: str
    images: dict[str, np.ndarray]  # by split, uint8 (N, channels, height, width)
    labels: dict[str, np.ndarray]  # by split, int64 (N,)


def prepare(name: str, root: Path, out: Path, rendered: Path | None = None) -> str:
    """Bring a dataset into prepared form at `out`; returns its digest. Raises UserError for an unknown name.

    `rendered` are the stored renders that it is composed of, where it is.
    """
    if name not in SOURCES:
        raise UserError(f"there is no source for the dataset {name!r}: there are {', '.join(SOURCES)}")
    return write(name, SOURCES[name](root, rendered) if renders_of(name) else SOURCES[name](root), out)


def write(name: str, source: Source, out: Path) -> str:
    """Store a source's images in canonical order: by hash, so that the order of the source leaves no trace."""
    arrays, digest = {}, hashlib.sha256()
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
        arrays[f"{split}_images"] = np.ascontiguousarray(images[order])
        arrays[f"{split}_labels"] = labels[order].astype(np.int64)
    pixels = arrays["train_images"].transpose(1, 0, 2, 3).reshape(images.shape[1], -1)
    levels = np.stack([np.bincount(channel, minlength=256) for channel in pixels]) / pixels.shape[1]
    mean = levels @ np.arange(256) / 255
    deviation = np.sqrt(levels @ (np.arange(256) / 255) ** 2 - mean**2)
    metadata = {
        "name": name,
        "digest": digest.hexdigest(),
        "classes": source.classes,
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
    }
    with whole(out) as beside:  # one entry of metadata, since safetensors writes several in random order
        save_file(arrays, beside, {"prepared": json.dumps(metadata)})
    return digest.hexdigest()


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
