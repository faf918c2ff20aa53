"""CIFAR-10 and CIFAR-100, from whichever form of them lies in the folder of original data.

    cifar-10-python.tar.gz or cifar-100-python.tar.gz    the official archive
    cifar-10-batches-py/   or cifar-100-python/          what is in it
    train/<class>/*.png and test/<class>/*.png           a tree of images by class

Each may also lie one folder down, in `cifar10/` or `cifar100/`. The archive is torchvision's to name, check and parse.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files import naming_file
from .archives import BAD_TAR, safe_member, verify
from .base import ArraySource
from .download import download
from .images import decode
from .listing import files_in, folders_in

_TEN = "airplane automobile bird cat deer dog frog horse ship truck"
_HUNDRED = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
# In the order of their labels, in the official archives too. Those of CIFAR-100 are the fine ones.
CLASSES = {"cifar10": tuple(_TEN.split()), "cifar100": tuple(_HUNDRED.split())}
SIDE = 32  # pixels


def cifar10(root: Path) -> ArraySource:
    """CIFAR-10 (Tables 1 and 4 of the supplement), as `load` does it."""
    return load("cifar10", root, official("cifar10"))


def cifar100(root: Path) -> ArraySource:
    """CIFAR-100 (Tables 2, 3 and 4 of the supplement), as `load` does it."""
    return load("cifar100", root, official("cifar100"))


def fetch_cifar10(root: Path, mirror: str = "") -> None:
    """Download CIFAR-10 unless it is there, as `fetch` does it."""
    fetch("cifar10", root, official("cifar10"), mirror)


def fetch_cifar100(root: Path, mirror: str = "") -> None:
    """Download CIFAR-100 unless it is there, as `fetch` does it."""
    fetch("cifar100", root, official("cifar100"), mirror)


def official(name: str) -> Any:
    """torchvision's class of `cifar10` or `cifar100`: address and checksums of the archive, and its parser."""
    from ..torchvision_cpu import torchvision

    datasets = torchvision().datasets
    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]


def find(name: str, root: Path, kind: Any) -> Path | None:
    """The extracted folder, the archive or the tree's parent, in `root` or `<root>/<name>`; None without any of them.

    An empty folder does not count. `kind` is what `official` gives, as below.
    """
    for place in (root / name, root):
        for form in (place / kind.base_folder, place / kind.filename):
            if form.is_file() or (form.is_dir() and files_in(form)):
                return form
        # data_root may hold another dataset's tree
        if any((place / "train" / label).is_dir() for label in CLASSES[name]):
            return place
    return None


def fetch(name: str, root: Path, kind: Any, mirror: str = "", pause: float = 1.0) -> None:
    """Download the official archive to `root`, from its authors' page or a mirror, unless the data are there.

    `pause` is the wait before the second attempt, in seconds. Raises UserError as `download` does.
    """
    if find(name, root, kind) is None:
        download(mirror or kind.url, root / kind.filename, kind.tgz_md5, pause)


def load(name: str, root: Path, kind: Any) -> ArraySource:
    """The dataset as `find` finds it: images uint8 (N, 3, 32, 32), labels int64 (N,), the same from each form.

    Raises UserError if there is nothing, or if it is not whole. Pickles are opened only after their checksums hold.
    """
    form = find(name, root, kind)
    if form is None:
        raise UserError(f"{name} is not in {root}: put {kind.filename} there, or images as train/<class>/*.png")
    if form.is_file():
        return _archive(name, form, kind)
    return _extracted(name, form.parent, kind) if form.name == kind.base_folder else _tree(name, form)


def _archive(name: str, archive: Path, kind: Any) -> ArraySource:
    verify(archive, kind.tgz_md5)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with naming_file(Path(folder)), tarfile.open(archive) as tar:
                tar.extractall(folder, filter=safe_member)
        except BAD_TAR as error:
            raise UserError(f"{archive} cannot be extracted: {' '.join(str(error).split())}") from None
        return _extracted(name, Path(folder), kind)


def _extracted(name: str, parent: Path, kind: Any) -> ArraySource:
    splits = []
    for train in (True, False):
        try:
            split = kind(str(parent), train=train)  # opens a pickle only if its md5 is the official one
        except RuntimeError:
            raise UserError(
                f"{parent / kind.base_folder} is not the official {name}: a file is missing or has another checksum"
            ) from None
        if sorted(split.classes) != sorted(CLASSES[name]):
            raise UserError(f"{parent / kind.base_folder} is not {name}: its classes have other names")
        number = np.array([CLASSES[name].index(label) for label in split.classes], np.int64)
        splits.append((split.data.transpose(0, 3, 1, 2), number[split.targets]))
    return ArraySource(CLASSES[name], *splits)


def _tree(name: str, parent: Path) -> ArraySource:
    splits = []
    for split in ("train", "test"):
        folder = parent / split
        if not folder.is_dir():
            raise UserError(f"{folder} is not there: a tree of {name} has train/<class>/*.png and test/<class>/*.png")
        unknown = [label for label in folders_in(folder) if label not in CLASSES[name]]
        if unknown:
            raise UserError(f"{folder / unknown[0]} is no class of {name}: move it away")
        files: list[str] = []
        labels: list[int] = []
        for number, label in enumerate(CLASSES[name]):
            found = files_in(folder / label, ".png") if (folder / label).is_dir() else []
            if not found:
                said = "has no PNG images" if (folder / label).is_dir() else "is not there"
                raise UserError(f"{folder / label} {said}: every class of {name} needs some")
            files += [f"{label}/{file}" for file in found]
            labels += [number] * len(found)
        images = decode(files, SIDE, folder, f"{name} {split}")
        splits.append((images, np.array(labels, np.int64)))
    return ArraySource(CLASSES[name], *splits)
