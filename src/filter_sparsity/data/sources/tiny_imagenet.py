"""Tiny-ImageNet-200, from its official zip, or from the folder that is in it, in the folder of original data.

The zip is read in place: nothing is extracted. The official validation images are what we test on, since those for
testing were given out without labels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...errors import UserError
from . import originals
from .archives import BAD_ZIP, verify
from .base import ArraySource
from .images import decode
from .listing import files_below, has_ending, text_lines

FOLDER = "tiny-imagenet-200"
ARCHIVE = f"{FOLDER}.zip"
URL = f"http://cs231n.stanford.edu/{ARCHIVE}"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SIDE = 64  # pixels


def tiny_imagenet(root: Path, checksum: str = MD5) -> ArraySource:
    """Tiny-ImageNet (supplement, Section 4): images uint8 (N, 3, 64, 64), labels int64 (N,), the order of the names.

    The classes are WordNet ids, sorted. `checksum` is the md5 that the zip must have. Raises UserError if neither form
    is there, or if a class, an image or an annotation is missing, doubled or unknown.
    """
    folder, archive = root / FOLDER, root / ARCHIVE
    if originals.tiny_imagenet(root) == folder or ((folder / "wnids.txt").exists() and not archive.exists()):
        files = {f"{FOLDER}/{path}" for path in files_below(folder)}
        return _source(files, root, None)
    if not archive.exists():
        raise UserError(f"tiny_imagenet is not in {root}: download {URL} and put it there, as it is or unpacked")
    verify(archive, checksum)
    try:
        with zipfile.ZipFile(archive) as members:
            names = [name for name in members.namelist() if not name.endswith("/")]
    except BAD_ZIP as error:
        raise UserError(f"{archive} is not a zip: {error}") from None
    for name in names:
        if not name.startswith(f"{FOLDER}/") or ".." in name.split("/"):
            raise UserError(f"{archive}: {name!r} lies outside {FOLDER}/: this is not the official archive")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{archive}: {twice!r} is there twice: this is not the official archive")
    return _source(set(names), root, archive)


def _source(files: set[str], root: Path, archive: Path | None) -> ArraySource:
    """From the names of all files, relative to `root`."""
    where = f"{archive or root / FOLDER}"

    def lines(name: str) -> list[str]:
        if f"{FOLDER}/{name}" not in files:
            raise UserError(f"{where}: {name} is not there")
        if archive:
            try:
                with zipfile.ZipFile(archive) as members:
                    content = members.read(f"{FOLDER}/{name}")
            except BAD_ZIP as error:
                raise UserError(f"{where}: {name} cannot be read: {error}") from None
        else:
            content = (root / FOLDER / name).read_bytes()
        return text_lines(content, f"{where}: {name}")

    classes = tuple(sorted(line.strip() for line in lines("wnids.txt")))
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise UserError(f"{where}: wnids.txt names {twice} twice")
    number = {wnid: i for i, wnid in enumerate(classes)}

    train: dict[str, int] = {}
    for file in sorted(files):
        parts = file.split("/")  # tiny-imagenet-200/train/<wnid>/images/<file>.JPEG
        if parts[1] == "train" and len(parts) == 5 and parts[3] == "images" and has_ending(parts[4], (".jpeg", ".jpg")):
            if parts[2] not in number:
                raise UserError(f"{where}: {parts[2]} has images but is not in wnids.txt")
            train[file] = number[parts[2]]
    empty = sorted(set(range(len(classes))) - set(train.values()))
    if empty:
        raise UserError(f"{where}: train/{classes[empty[0]]}/images has no JPEG images: every class needs some")

    test = _sorted_into_classes(files, number, where) or _annotated(
        files, number, lines("val/val_annotations.txt"), where
    )

    def split(named: dict[str, int], what: str) -> tuple[np.ndarray, np.ndarray]:
        images = decode(list(named), SIDE, root, f"tiny_imagenet {what}", archive)
        return images, np.array(list(named.values()), np.int64)

    return ArraySource(classes, split(train, "train"), split(test, "test"))


def _annotated(files: set[str], number: Mapping[str, int], annotations: list[str], where: str) -> dict[str, int]:
    """The labels of the validation images in val/images, by name, as val_annotations.txt has them."""
    test: dict[str, int] = {}
    for line in annotations:
        name, wnid, *_ = [*line.split("\t"), ""]
        file = f"{FOLDER}/val/images/{name}"
        if wnid not in number:
            raise UserError(f"{where}: val_annotations.txt gives {name} the class {wnid!r}, which is not in wnids.txt")
        if file not in files:
            raise UserError(f"{where}: val_annotations.txt names val/images/{name}, which is not there")
        if file in test:
            raise UserError(f"{where}: val_annotations.txt names {name} twice")
        test[file] = number[wnid]
    if not test:
        raise UserError(f"{where}: val_annotations.txt is empty")
    return test


def _sorted_into_classes(files: set[str], number: Mapping[str, int], where: str) -> dict[str, int]:
    """The labels of validation images that somebody moved to val/<wnid>/ or val/<wnid>/images/; empty if nobody did."""
    test: dict[str, int] = {}
    for file in sorted(files):
        _, split, wnid, *rest = [*file.split("/"), ""]
        if split != "val" or not rest[:-1] or not has_ending(file, (".jpeg", ".jpg")):
            continue
        if wnid == "images":
            return {}
        if wnid not in number:
            raise UserError(f"{where}: val/{wnid} has images but is not in wnids.txt")
        test[file] = number[wnid]
    return test
