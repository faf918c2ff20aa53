"""CIFAR's official archives, in miniature."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile

import numpy as np

from filter_sparsity.data.sources import cifar
from filter_sparsity.data.sources.base import ArraySource


def random_source(name):
    draw = np.random.default_rng(0)

    def split(count):
        labels = np.repeat(np.arange(len(cifar.CLASSES[name])), count)
        return draw.integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8), labels

    return ArraySource(cifar.CLASSES[name], split(2), split(1))


def md5(content):
    return hashlib.md5(content).hexdigest()


def make_archive(name, source, folder, extra=()):
    """The official archive of other images: its bytes, and torchvision's class with the checksums of these."""
    official = cifar.official(name)
    draw = np.random.default_rng(1)
    files = {}

    def batch(images, labels):
        key = "labels" if name == "cifar10" else "fine_labels"
        return pickle.dumps({"data": images.reshape(len(images), -1), key: labels.tolist()}, protocol=2)

    for parts, (images, labels) in ((official.train_list, source.train), (official.test_list, source.test)):
        order = draw.permutation(len(images))
        for (file, _), chosen in zip(parts, np.array_split(order, len(parts)), strict=True):
            files[file] = batch(images[chosen], labels[chosen])
    files[official.meta["filename"]] = pickle.dumps({official.meta["key"]: list(source.classes)}, protocol=2)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / official.filename
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{official.base_folder}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    own = {
        "tgz_md5": md5(path.read_bytes()),
        "train_list": [[file, md5(files[file])] for file, _ in official.train_list],
        "test_list": [[file, md5(files[file])] for file, _ in official.test_list],
        "meta": {**official.meta, "md5": md5(files[official.meta["filename"]])},
    }
    return path, type("Miniature", (official,), own)
