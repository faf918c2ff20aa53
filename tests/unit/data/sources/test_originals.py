"""Original data are there if all of their parts are."""

import pytest

from filter_sparsity.data.manifest import listing
from filter_sparsity.data.sources import originals
from filter_sparsity.planning.experiments import read_datasets


@pytest.fixture
def datasets(root):
    return read_datasets(root / "config/datasets.yaml")


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


CAD = "CAD/off/bed/01.off"
CUBISM = "JPEGImages/Cubism/1.jpg"
DEVKIT, TRAIN, VAL = "ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("imagenet", (DEVKIT, TRAIN, VAL), "."),
        ("imagenet", (f"imagenet/{DEVKIT}", f"imagenet/{TRAIN}", f"imagenet/{VAL}"), "imagenet"),
        ("imagenet", ("imagenet/meta.bin", "imagenet/train/n01/a.JPEG", "imagenet/val/n01/a.JPEG"), "imagenet"),
        ("imagenet", (DEVKIT, "train/n01/a.JPEG", "val/n01/a.JPEG", "imagenet/readme.txt"), "."),
        ("imagenet", ("train/n01/a.JPEG", "val/n01/a.JPEG"), "."),
        ("imagenet", (TRAIN, VAL), None),
        ("imagenet", ("train/n01/a.JPEG", "val/a.JPEG"), None),
        ("imagenet", (DEVKIT, f"imagenet/{TRAIN}", f"imagenet/{VAL}"), None),
        ("imagenet", (DEVKIT, "train/airplane/1.png", "val/1.png"), None),
        ("tiny_imagenet", ("tiny-imagenet-200.zip",), "tiny-imagenet-200.zip"),
        ("tiny_imagenet", ("tiny-imagenet-200/wnids.txt", "tiny-imagenet-200.zip"), "tiny-imagenet-200.zip"),
        (
            "tiny_imagenet",
            ("tiny-imagenet-200/wnids.txt", "tiny-imagenet-200/train/a", "tiny-imagenet-200/val/a"),
            "tiny-imagenet-200",
        ),
        ("tiny_imagenet", ("tiny-imagenet-200/wnids.txt",), None),
        ("objectnet3d_plain", (CAD,), "CAD/off"),
        ("objectnet3d_plain", (f"a/objectnet3d/{CAD}",), "a/objectnet3d/CAD/off"),
        ("objectnet3d_plain", ("CAD/off/bed/01.OFF", "CAD/off/readme.off"), "CAD/off"),
        ("objectnet3d_plain", ("CAD/off/01.off", f"__MACOSX/{CAD}", "CAD/off/bed/._01.off"), None),
        ("objectnet3d_plain", (f"a/b/c/{CAD}",), None),
        ("objectnet3d_cluttered", (CAD, CUBISM), "JPEGImages/Cubism"),
        ("objectnet3d_cluttered", (CAD, "PeopleArt-master.zip"), "PeopleArt-master.zip"),
        ("objectnet3d_cluttered", (CUBISM,), None),
        ("objectnet3d_cluttered", (CAD, "JPEGImages/000001.jpg"), None),
        ("cifar10", ("cifar10/train/cat/1.png",), "cifar10"),
        ("cifar10", ("cifar-10-python.tar.gz",), "cifar-10-python.tar.gz"),
        ("cifar10", ("cifar10/.DS_Store",), None),
    ],
)
def test_a_dataset_is_there_with_all_of_its_parts(datasets, tmp_path, name, files, found):
    make(tmp_path, *files)
    assert originals.find(datasets[name], tmp_path) == (found and tmp_path / found)


def test_nothing_is_there_in_an_empty_folder_or_in_none(datasets, tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        assert [name for name, dataset in datasets.items() if originals.find(dataset, root)] == []


def test_the_listing_shows_what_is_there(datasets, tmp_path):
    make(tmp_path, "imagenet/readme.txt", CAD)
    said = "\n".join(listing(datasets, tmp_path, tmp_path))
    assert f"objectnet3d_plain: there: {tmp_path}/CAD/off" in said
    assert "imagenet: missing: after registration" in said
    assert "objectnet3d_cluttered: missing:" in said
