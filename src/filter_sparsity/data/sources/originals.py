"""Where a dataset's original data lie below `data_root`. They are there if all parts are: no mere folder name decides.

Torch-free, and without numpy: the Snakefile's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ...parts import Dataset
from .listing import has_ending, is_litter

CAD = "CAD/off"
CUBISM = "JPEGImages/Cubism"
JPEG = (".jpg", ".jpeg")

# The parts of ImageNet, each in either form: unpacked, or the official archive.
IMAGES = (("train/n[0-9]*", "ILSVRC2012_img_train.tar"), ("val/n[0-9]*", "ILSVRC2012_img_val.tar"))
DEVKIT = ("meta.bin", "ILSVRC2012_devkit_t12.tar.gz")  # to unpack them


def find(dataset: Dataset, root: Path) -> Path | None:
    """A dataset's original data, or one part of them, if all parts are below `root`; None if one is missing."""
    if dataset.name in FINDERS:
        return FINDERS[dataset.name](root)
    named = (root / name for name in dataset.local_names)
    return next((path for path in named if path.is_file() or (path.is_dir() and any(_files(path, "*")))), None)


def imagenet_folder(root: Path) -> Path:
    """`imagenet/` below `root`, or `root` itself: that which has more parts of ImageNet."""
    return max((root, root / "imagenet"), key=lambda place: sum(_any(place, forms) for forms in (*IMAGES, DEVKIT)))


def cad_folder(root: Path) -> Path | None:
    """ObjectNet3D's models, CAD/off/<class>/*.off, in `root` or at most two folders down."""
    return _folder(root, CAD, lambda folder: any(has_ending(path, (".off",)) for path in _files(folder, "*/*")))


def cubism_folder(root: Path) -> Path | None:
    """PeopleArt's Cubism pictures, JPEGImages/Cubism/*.jpg, in `root` or at most two folders down."""
    return _folder(root, CUBISM, lambda folder: any(has_ending(path, JPEG) for path in _files(folder, "*")))


def peopleart_zip(root: Path) -> Path | None:
    """The first zip in `root` whose name begins with PeopleArt, in capitals or not."""
    return next((path for path in sorted(root.glob("*.zip")) if path.name.lower().startswith("peopleart")), None)


def tiny_imagenet(root: Path) -> Path | None:
    """Tiny-ImageNet's folder, or else its zip."""
    folder, archive = root / "tiny-imagenet-200", root / "tiny-imagenet-200.zip"
    whole = all((folder / part).exists() for part in ("wnids.txt", "train", "val"))
    return folder if whole else archive if archive.is_file() else None


def _imagenet(root: Path) -> Path | None:
    place = imagenet_folder(root)
    unpacked = all(_any(place, [folder]) for folder, _ in IMAGES)
    return place if unpacked or all(_any(place, forms) for forms in (*IMAGES, DEVKIT)) else None


def _cluttered(root: Path) -> Path | None:
    pictures = cubism_folder(root) or peopleart_zip(root)
    return pictures if cad_folder(root) else None


# Of datasets in several parts. `Dataset.local_names` says where the others are.
FINDERS: dict[str, Callable[[Path], Path | None]] = {
    "imagenet": _imagenet,
    "objectnet3d_plain": cad_folder,
    "objectnet3d_cluttered": _cluttered,
    "tiny_imagenet": tiny_imagenet,
}


def _any(place: Path, patterns: Iterable[str]) -> bool:
    return any(next(place.glob(pattern), None) for pattern in patterns)


def _files(folder: Path, pattern: str) -> Iterable[Path]:
    return (path for path in folder.glob(pattern) if not is_litter(path.relative_to(folder)))


def _folder(root: Path, inside: str, is_whole: Callable[[Path], bool]) -> Path | None:
    """The first folder of this name in `root`, or at most two folders down, that is whole."""
    found = (path for depth in ("", "*/", "*/*/") for path in sorted(root.glob(depth + inside)))
    return next((path for path in found if not is_litter(path.relative_to(root)) and is_whole(path)), None)
