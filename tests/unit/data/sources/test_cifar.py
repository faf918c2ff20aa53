"""CIFAR in its three forms, as miniatures made here, and with the real images where they are at hand."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from filter_sparsity.data.prepared import prepare, read, write
from filter_sparsity.data.sources import cifar
from filter_sparsity.data.sources.base import ArraySource
from filter_sparsity.errors import UserError
from filter_sparsity.planning.experiments import read_datasets
from helpers.cifar_archive import make_archive, random_source
from helpers.decompression_bomb import bomb
from helpers.serve import Site, serving

ROOT = Path(__file__).parents[4]
PER_CLASS = {"train": 2, "test": 1}
REAL = os.environ.get("FILTER_SPARSITY_CIFAR")


def make_tree(source, folder):
    for split in ("train", "test"):
        for i, (image, label) in enumerate(zip(*getattr(source, split), strict=True)):
            path = folder / split / source.classes[label] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path)


@pytest.fixture(params=["cifar10", "cifar100"])
def miniature(request, tmp_path):
    source = random_source(request.param)
    path, kind = make_archive(request.param, source, tmp_path / "original")
    return request.param, source, path, kind


@pytest.fixture
def ten(tmp_path):
    """CIFAR-10 only, for what is the same with both."""
    source = random_source("cifar10")
    path, kind = make_archive("cifar10", source, tmp_path / "original")
    return source, path, kind


def prepared(name, root, kind, out):
    write(name, cifar.load(name, root, kind), out)
    return out.read_bytes()


def test_every_form_gives_the_same_file(miniature, tmp_path):
    name, source, path, kind = miniature
    roots = {form: tmp_path / form for form in ("unpacked", "tree", "tree below", "archive below")}
    with tarfile.open(path) as tar:
        tar.extractall(roots["unpacked"], filter="data")
    make_tree(source, roots["tree"])
    make_tree(source, roots["tree below"] / name)
    (roots["archive below"] / name).mkdir(parents=True)
    shutil.copy(path, roots["archive below"] / name)
    write(name, source, tmp_path / "wanted")
    wanted = (tmp_path / "wanted").read_bytes()
    for root in (path.parent, *roots.values()):
        assert prepared(name, root, kind, tmp_path / "out") == wanted


def test_what_is_missing_is_downloaded(ten, tmp_path):
    source, path, kind = ten
    with serving(Site(path.read_bytes(), cut_after=[20_000])) as site:
        cifar.fetch("cifar10", tmp_path / "there", kind, mirror=site.url, pause=0)
        cifar.fetch("cifar10", tmp_path / "there", kind, mirror=site.url)
        assert site.asked == ["", "bytes=20000-"]  # and nothing once it is there
    write("cifar10", source, tmp_path / "wanted")
    assert prepared("cifar10", tmp_path / "there", kind, tmp_path / "out") == (tmp_path / "wanted").read_bytes()


def test_a_tree_is_not_downloaded_again(ten, tmp_path):
    source, _, kind = ten
    make_tree(source, tmp_path / "tree")
    cifar.fetch("cifar10", tmp_path / "tree", kind, mirror="http://127.0.0.1:9/")


def refused(root, kind, name="cifar10"):
    with pytest.raises(UserError) as error:
        cifar.load(name, root, kind)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nothing_there_says_what_may_be(ten, tmp_path):
    assert "put cifar-10-python.tar.gz there" in refused(tmp_path, ten[2])


@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_a_cut_archive_is_refused(ten, keep):
    _, path, kind = ten
    path.write_bytes(path.read_bytes()[:keep])
    assert "cut short or another file" in refused(path.parent, kind)


def test_no_pickle_of_another_archive_is_opened(ten, tmp_path):
    """A pickle that would leave a trace, in an archive whose checksum is not the official one, and unpacked."""
    _, path, kind = ten
    trace = tmp_path / "trace"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (trace,))

    folder = tmp_path / "evil" / kind.base_folder
    with tarfile.open(path) as tar:
        tar.extractall(folder.parent, filter="data")
    (folder / "data_batch_1").write_bytes(pickle.dumps(Evil()))
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, kind.base_folder)
    refused(path.parent, kind)
    assert "has another checksum" in refused(folder.parent, kind)
    assert not trace.exists()


def test_an_archive_with_a_wrong_gzip_checksum_is_refused(ten):
    """gzip's, which is read where the tar ends without the usual empty blocks."""
    _, path, kind = ten
    packed = bytearray(gzip.compress(gzip.decompress(path.read_bytes()).rstrip(b"\0")))
    packed[-8] ^= 1
    path.write_bytes(packed)
    kind.tgz_md5 = hashlib.md5(packed).hexdigest()
    assert "cannot be extracted: CRC check failed" in refused(path.parent, kind)


def outside(name, kind=tarfile.REGTYPE, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "member",
    [
        outside("../outside"),
        outside("/outside"),
        outside("cifar-10-batches-py/../../outside"),
        outside("cifar-10-batches-py/link", tarfile.SYMTYPE, "/outside"),
        outside("cifar-10-batches-py/link", tarfile.SYMTYPE, "../../outside"),
        outside("cifar-10-batches-py/link", tarfile.LNKTYPE, "../../outside"),
        outside("cifar-10-batches-py/device", tarfile.CHRTYPE),
    ],
    ids=lambda member: f"{member.name} {member.linkname}",
)
def test_members_that_point_outside_are_refused(tmp_path, member):
    """Even if the archive's checksum were right."""
    path, kind = make_archive("cifar10", random_source("cifar10"), tmp_path / "original", [member])
    assert "cannot be extracted" in refused(path.parent, kind)
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: shutil.rmtree(t / "train/cat"), "train/cat is not there"),
        (lambda t: [p.unlink() for p in (t / "test/dog").iterdir()], "test/dog has no PNG images"),
        (lambda t: shutil.rmtree(t / "test"), "test is not there"),
        (lambda t: (t / "train/cow").mkdir(), "train/cow is no class of cifar10"),
        (lambda t: (t / "train/cat/x.png").write_text("no image"), "train/cat/x.png cannot be read as an image"),
        (lambda t: (t / "train/cat/x.png").write_bytes(b""), "train/cat/x.png cannot be read as an image"),
        (lambda t: (t / "train/cat/x.png").write_bytes(bomb(10_000)), "x.png cannot be read as an image: Image size"),
        (lambda t: (t / "train/cat/x.png").write_bytes(bomb(60_000)), "x.png cannot be read as an image: Image size"),
        (lambda t: (t / "train/cat/x.png").write_bytes(bomb(5_000)), "x.png has 5000x5000 pixels: every image has"),
        (lambda t: Image.new("RGB", (32, 31)).save(t / "train/cat/x.png"), "x.png has 32x31 pixels: every image has"),
    ],
)
def test_a_damaged_tree_is_refused_by_name(ten, tmp_path, change, said):
    source, _, kind = ten
    make_tree(source, tmp_path / "tree")
    change(tmp_path / "tree")
    assert said in refused(tmp_path / "tree", kind)


def test_a_cut_image_is_refused_by_name(ten, tmp_path):
    source, _, kind = ten
    make_tree(source, tmp_path)
    path = next((tmp_path / "train/cat").iterdir())
    path.write_bytes(path.read_bytes()[:1000])
    assert f"{path} cannot be read as an image" in refused(tmp_path, kind)


def test_an_empty_folder_hides_no_archive(ten, tmp_path):
    _, path, kind = ten
    before = prepared("cifar10", path.parent, kind, tmp_path / "before")
    (path.parent / kind.base_folder).mkdir()
    (path.parent / "cifar10").mkdir()
    assert cifar.find("cifar10", path.parent, kind) == path
    assert prepared("cifar10", path.parent, kind, tmp_path / "after") == before


def test_another_dataset_s_tree_is_not_taken(ten, tmp_path):
    make_tree(random_source("cifar100"), tmp_path)
    assert "cifar10 is not in" in refused(tmp_path, ten[2])


def test_other_content_than_expected_is_said_and_not_written(ten, tmp_path):
    source, _, _ = ten
    with pytest.raises(UserError, match=r"\Athis is not the same data as cifar10: its content digest is [^\n]+\Z"):
        write("cifar10", source, tmp_path / "out", "0" * 64)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_table_of_datasets_says_what_torchvision_says(name):
    line, kind = read_datasets(ROOT / "config/datasets.yaml")[name], cifar.official(name)
    assert (line.source, line.checksum) == (kind.url, f"md5:{kind.tgz_md5}")
    assert len(cifar.CLASSES[name]) == line.classes
    assert sorted(cifar.CLASSES[name]) == list(cifar.CLASSES[name])


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="FILTER_SPARSITY_CIFAR does not name a folder with cifar10/train/<class>/*.png")
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_real_images_as_a_tree_and_as_an_archive(name, tmp_path):
    line = read_datasets(ROOT / "config/datasets.yaml")[name]
    assert prepare(name, Path(REAL), tmp_path / "tree") == line.digest
    ready = read(tmp_path / "tree")
    assert ready.images["train"].shape == (line.train, 3, 32, 32)
    assert ready.images["test"].shape == (line.test, 3, 32, 32)
    splits = ((ready.images[s], ready.labels[s]) for s in ("train", "test"))
    path, kind = make_archive(name, ArraySource(ready.classes, *splits), tmp_path / "original")
    assert prepared(name, path.parent, kind, tmp_path / "archive") == (tmp_path / "tree").read_bytes()


def test_litter_in_a_tree_changes_nothing(ten, tmp_path):
    source, _, kind = ten
    make_tree(source, tmp_path / "tree")
    before = prepared("cifar10", tmp_path / "tree", kind, tmp_path / "out")
    (tmp_path / "tree/train/@eaDir").mkdir()
    (tmp_path / "tree/train/.ipynb_checkpoints").mkdir()
    (tmp_path / "tree/train/cat/._0.png").write_bytes(b"litter")
    first = min((tmp_path / "tree/train/cat").glob("[0-9]*.png"))
    first.rename(first.with_suffix(".PNG"))
    assert prepared("cifar10", tmp_path / "tree", kind, tmp_path / "out") == before
