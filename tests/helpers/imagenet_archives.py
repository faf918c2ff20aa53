"""ImageNet's official archives, in miniature."""

from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
from PIL import Image

from filter_sparsity.data.torchvision_cpu import torchvision

WNIDS = ["n02", "n01", "n03"]  # of the devkit's ids 1, 2, 3
TRUTH = [3, 1, 2, 2, 1, 3]  # of the validation images


def picture(draw, gray=False):
    side = draw.integers(230, 300, 2)
    image = Image.fromarray(draw.integers(0, 256, (4, 4) if gray else (4, 4, 3), dtype=np.uint8)).resize(side)
    content = io.BytesIO()
    image.save(content, "JPEG")
    return content.getvalue()


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def archives(root, monkeypatch, outside=""):
    """The three official archives, in miniature, whose checksums torchvision is told."""
    from scipy.io import savemat

    torchvision()
    from torchvision.datasets import imagenet as parser

    draw = np.random.default_rng(0)
    root.mkdir(parents=True)
    names = {split: root / parser.ARCHIVE_META[split][0] for split in ("train", "val", "devkit")}
    with tarfile.open(names["train"], "w") as tar:
        for wnid in WNIDS:
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as own:
                for i in range(4):
                    add(own, f"{wnid}_{i}.JPEG", picture(draw, gray=i == 0))
            add(tar, f"{wnid}.tar", inner.getvalue())
        if outside:
            add(tar, outside, b"")
    with tarfile.open(names["val"], "w") as tar:
        for i in range(1, len(TRUTH) + 1):
            add(tar, f"ILSVRC2012_val_{i:08}.JPEG", picture(draw))
    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "f8")]
    synsets = [(i, wnid, f"thing {i}, other", "what", 0) for i, wnid in enumerate(WNIDS, 1)] + [
        (4, "n09", "all", "", 3)
    ]
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array(synsets, dtype=kinds)[:, None]})
    with tarfile.open(names["devkit"], "w:gz") as tar:
        add(tar, "ILSVRC2012_devkit_t12/data/meta.mat", meta.getvalue())
        text = "".join(f"{i}\n" for i in TRUTH).encode()
        add(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", text)
    for split, path in names.items():
        checksum = hashlib.md5(path.read_bytes()).hexdigest()
        monkeypatch.setitem(parser.ARCHIVE_META, split, (path.name, checksum))
    return names
