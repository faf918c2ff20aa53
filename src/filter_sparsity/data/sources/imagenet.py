"""ImageNet (ILSVRC2012) from its user's own official archives or what torchvision made of them.

In the folder of original data, or in `imagenet/` below it, lie ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar
and ILSVRC2012_img_val.tar, or instead of each what torchvision's parser makes of it: meta.bin, train/<wnid>/*.JPEG and
val/<wnid>/*.JPEG. A folder with train/ and val/ may lack the rest, and may be read-only. The archives are checked and
parsed by torchvision; the validation images are what we test on.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from ...errors import UserError
from ...files import naming_file
from .archives import BAD_TAR, safe_member
from .base import FileSource
from .listing import files_in, folders_in
from .originals import imagenet_folder

SIDE = 224  # pixels
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the training images: torchvision's


def imagenet(root: Path) -> FileSource:
    """ImageNet (supplement, Section 4): paths of the images by class and name, labels int64 (N,).

    The validation images are for testing; crops have 224 pixels a side (assumed). Raises UserError if an
    archive is missing or not the official one, or if a class has no images.
    """
    from ..torchvision_cpu import torchvision

    parser = torchvision().datasets.imagenet
    place = imagenet_folder(root)
    try:
        if any(_is_absent(place / split) for split in ("train", "val")):
            _unpack(place, parser)
        known = _classes(place, parser)
    except (RuntimeError, FileNotFoundError, *BAD_TAR) as error:
        raise UserError(f"ImageNet in {place}: {' '.join(str(error).split())}") from None
    train, test = (_files(place, split, known) for split in ("train", "val"))
    return FileSource(tuple(known), train, test, place.resolve(), SIDE, MEAN, DEVIATION)


def _unpack(place: Path, parser: ModuleType) -> None:
    """Unpack what is not unpacked yet of the three archives, into their folder."""
    if not (meta := place / parser.META_FILE).exists():
        try:
            with _guarded(), naming_file(meta):
                parser.parse_devkit_archive(place)
        except BaseException:
            meta.unlink(missing_ok=True)
            raise
    for split, parse in (("train", parser.parse_train_archive), ("val", parser.parse_val_archive)):
        if _is_absent(place / split):
            part = place / f".{split}.part"
            shutil.rmtree(part, ignore_errors=True)  # of a call that was killed
            try:
                with _guarded(), naming_file(part):
                    parse(place, folder=part.name)
                part.replace(place / split)  # only when all of it is there
            finally:
                shutil.rmtree(part, ignore_errors=True)


def _is_absent(folder: Path) -> bool:
    return not folder.is_dir() or not any(folder.iterdir())


def _classes(place: Path, parser: ModuleType) -> list[str]:
    """The WordNet ids of an unpacked ImageNet, sorted; nothing is written, since a shared folder may be read-only.

    They are from meta.bin, else from the devkit, else, as people share only train/ and val/, the folders of train/.
    """
    if (place / parser.META_FILE).exists():
        return sorted(parser.load_meta_file(str(place))[0])
    devkit = place / parser.ARCHIVE_META["devkit"][0]
    if not devkit.exists():
        return folders_in(place / "train")
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / devkit.name).symlink_to(devkit.resolve())
        with _guarded():
            parser.parse_devkit_archive(scratch)
        return sorted(parser.load_meta_file(scratch)[0])


def _files(place: Path, split: str, known: list[str]) -> tuple[list[str], np.ndarray]:
    """Paths of a split's images below `place`, by class and name, and their labels."""
    if wrong := sorted({*folders_in(place / split)} ^ {*known}):
        raise UserError(f"ImageNet in {place / split}: {wrong[0]} is missing, or no class of the devkit")
    files: list[str] = []
    labels: list[int] = []
    for label, wnid in enumerate(known):
        found = files_in(place / split / wnid, ".jpeg", ".jpg")
        if not found:
            raise UserError(f"ImageNet in {place / split}: {wnid} has no JPEG images: every class needs some")
        files += [f"{split}/{wnid}/{name}" for name in found]
        labels += [label] * len(found)
    return files, np.array(labels, np.int64)


@contextmanager
def _guarded() -> Iterator[None]:
    """Archives that torchvision extracts write nothing outside their folder."""
    default = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(safe_member)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = default
