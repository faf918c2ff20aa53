"""Tiny-ImageNet in the layout of the official zip, in miniature."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filter_sparsity.data import prepared
from filter_sparsity.data.sources import images
from filter_sparsity.data.sources.archives import md5
from filter_sparsity.data.sources.tiny_imagenet import FOLDER, MD5, URL, tiny_imagenet
from filter_sparsity.errors import UserError
from filter_sparsity.planning.experiments import read_datasets

ROOT = Path(__file__).parents[4]
WNIDS = ["n03", "n01", "n02"]  # as the official list, not in order


@pytest.fixture
def folder(tmp_path):
    """Three classes of five images to train on, two of each to test on; the first of each class is grayscale."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "original" / FOLDER

    def picture(path, gray):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (64, 64) if gray else (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, "JPEG", quality=95)

    annotations = []
    for wnid in WNIDS:
        for i in range(5):
            picture(folder / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", gray=i == 0)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("")
        for i in range(2):
            name = f"val_{len(annotations)}.JPEG"
            picture(folder / "val" / "images" / name, gray=i == 0)
            annotations.append(f"{name}\t{wnid}\t0\t0\t63\t63\n")
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS))
    (folder / "words.txt").write_text("n01\tsomething\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(annotations))
    return folder


def zipped(folder, root, extra=()):
    """The folder as a zip in `root`; gives `root` and the zip's md5."""
    root.mkdir(parents=True)
    path = root / f"{FOLDER}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
        for name in extra:
            archive.writestr(name, "")
    return root, md5(path)


def refused(root, checksum=MD5):
    with pytest.raises(UserError) as error:
        tiny_imagenet(root, checksum)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_images_are_those_of_the_files(folder):
    source = tiny_imagenet(folder.parent)
    assert source.classes == ("n01", "n02", "n03")
    assert np.bincount(source.train[1]).tolist() == [5, 5, 5]
    assert np.bincount(source.test[1]).tolist() == [2, 2, 2]
    ours = {image.tobytes(): source.classes[label] for image, label in zip(*source.train, strict=True)}
    for path in folder.glob("train/*/images/*"):
        with Image.open(path) as image:
            assert ours[np.asarray(image.convert("RGB")).transpose(2, 0, 1).tobytes()] == path.parts[-3]


def test_grayscale_becomes_three_equal_channels(folder):
    source = tiny_imagenet(folder.parent)
    gray = [image for image in source.train[0] if (image[0] == image[1]).all() and (image[1] == image[2]).all()]
    assert len(gray) == 3


def test_zip_and_folder_give_the_same_file(folder, tmp_path):
    root, checksum = zipped(folder, tmp_path / "zip")
    prepared.write("x", tiny_imagenet(folder.parent), tmp_path / "a")
    prepared.write("x", tiny_imagenet(root, checksum), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert [path.name for path in root.iterdir()] == [f"{FOLDER}.zip"]  # nothing was extracted


@pytest.mark.parametrize("inside", ["", "images"])
@pytest.mark.parametrize("annotations", ["kept", "deleted"])
def test_validation_images_sorted_into_classes_are_the_same(folder, tmp_path, inside, annotations):
    """As widely used scripts leave them."""
    prepared.write("x", tiny_imagenet(folder.parent), tmp_path / "a")
    for line in (folder / "val/val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        to = folder / "val" / wnid / inside
        to.mkdir(parents=True, exist_ok=True)
        (folder / "val/images" / name).rename(to / name)
    if annotations == "deleted":
        (folder / "val/val_annotations.txt").unlink()
        (folder / "val/images").rmdir()
    prepared.write("x", tiny_imagenet(folder.parent), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    (folder / "val" / "n01").rename(folder / "val" / "n09")
    assert "val/n09 has images but is not in wnids.txt" in refused(folder.parent)


def test_many_workers_give_what_one_gives(folder, tmp_path, monkeypatch):
    alone = tiny_imagenet(folder.parent)
    root, checksum = zipped(folder, tmp_path / "zip")
    monkeypatch.setattr(images, "CHUNK", 2)
    monkeypatch.setattr(images, "cores", lambda: 2)
    for source in (tiny_imagenet(folder.parent), tiny_imagenet(root, checksum)):
        assert (source.train[0] == alone.train[0]).all()
        assert (source.test[0] == alone.test[0]).all()


def test_an_error_in_a_worker_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(images, "CHUNK", 2)
    monkeypatch.setattr(images, "cores", lambda: 2)
    path = folder / "train" / "n02" / "images" / "n02_3.JPEG"
    path.write_bytes(path.read_bytes()[:500])
    assert f"{path} cannot be read as an image" in refused(folder.parent)


def test_another_zip_is_refused(folder, tmp_path):
    root, _ = zipped(folder, tmp_path / "zip")
    assert "cut short or another file" in refused(root)


@pytest.mark.parametrize("keep", [0, 5000])
def test_a_cut_zip_is_refused_even_if_its_checksum_is_asked_for(folder, tmp_path, keep):
    root, _ = zipped(folder, tmp_path / "zip")
    path = root / f"{FOLDER}.zip"
    path.write_bytes(path.read_bytes()[:keep])
    assert "is not a zip" in refused(root, md5(path))


@pytest.mark.parametrize("name", ["../outside", f"{FOLDER}/../../outside", "/outside", "outside"])
def test_members_that_point_outside_are_refused(folder, tmp_path, name):
    root, checksum = zipped(folder, tmp_path / "zip", [name])
    assert "lies outside" in refused(root, checksum)
    assert not list(tmp_path.rglob("outside"))


def test_a_member_that_says_it_is_huge_is_not_read(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGEST", 100_000)
    (folder / "train/n01/images/n01_1.JPEG").write_bytes(bytes(100_001))
    root, checksum = zipped(folder, tmp_path / "zip")
    assert refused(root, checksum).endswith("n01_1.JPEG has 100,001 bytes: it is not one of many small images")


def test_a_name_that_is_there_twice_is_refused(folder, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        root, checksum = zipped(folder, tmp_path / "zip", [f"{FOLDER}/wnids.txt"])
    assert "is there twice" in refused(root, checksum)


def test_nothing_there_says_how_to_get_it(tmp_path):
    assert f"download {URL}" in refused(tmp_path)


def append(path, text):
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: append(f / "wnids.txt", "n04\n"), "train/n04/images has no JPEG images"),
        (lambda f: append(f / "wnids.txt", "n01\n"), "names n01 twice"),
        (lambda f: (f / "wnids.txt").write_text("n01\nn02\n"), "n03 has images but is not in wnids.txt"),
        (lambda f: (f / "val/images/val_2.JPEG").unlink(), "names val/images/val_2.JPEG, which is not there"),
        (lambda f: append(f / "val/val_annotations.txt", "val_1.JPEG\tn03\t0\t0\t1\t1\n"), "names val_1.JPEG twice"),
        (lambda f: append(f / "val/val_annotations.txt", "val_1.JPEG\tn09\t0\t0\t1\t1\n"), "the class 'n09'"),
        (lambda f: append(f / "val/val_annotations.txt", "nonsense\n"), "gives nonsense the class ''"),
        (lambda f: (f / "val/val_annotations.txt").write_text(""), "val_annotations.txt is empty"),
        (lambda f: (f / "val/val_annotations.txt").unlink(), "val/val_annotations.txt is not there"),
        (lambda f: (f / "train/n01/images/n01_1.JPEG").write_text("x"), "n01_1.JPEG cannot be read as an image"),
        (lambda f: Image.new("L", (64, 63)).save(f / "train/n01/images/n01_1.JPEG"), "has 64x63 pixels: every image"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(folder, change, said):
    change(folder)
    assert said in refused(folder.parent)


def test_the_table_of_datasets_says_the_same():
    line = read_datasets(ROOT / "config/datasets.yaml")["tiny_imagenet"]
    assert (line.source, line.checksum, line.classes, line.side) == (URL, f"md5:{MD5}", 200, 64)


EXIF = Image.Exif()
EXIF[0x0112] = 6  # Orientation: to be turned, which Pillow leaves to who asks for it
KINDS = {
    "plain": {},
    "4:4:4": {"subsampling": "4:4:4"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:2:0": {"subsampling": "4:2:0"},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 3},
    "orientation": {"exif": EXIF},
    "RGB within": {"keep_rgb": True},
}


def jpeg(mode="RGB", side=64, **settings):
    draw = np.random.default_rng(side)
    coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 4), dtype=np.uint8), "CMYK").convert(mode)
    content = io.BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(content, "JPEG", **settings)
    return content.getvalue()


def by_pillow(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def decoded(tmp_path, content, side=64):
    (tmp_path / "a.JPEG").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.JPEG", "a.JPEG")
    (folder,) = images.decode(["a.JPEG"], side, tmp_path, "folder")
    (member,) = images.decode(["a.JPEG"], side, tmp_path, "zip", tmp_path / "a.zip")
    assert (folder == member).all()
    return folder


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [64, 61, 1])
def test_pixels_are_those_of_pillow_whoever_decodes(tmp_path, mode, kind, side):
    for quality in range(10, 96, 17):
        content = jpeg(mode, side, quality=quality, **KINDS[kind])
        assert images._decode_jpeg(content, np.empty((side, side, 3), np.uint8))  # not by Pillow, that is
        assert (decoded(tmp_path, content, side) == by_pillow(content)).all()


@pytest.mark.parametrize("settings", [{}, {"progressive": True}])
def test_four_colours_are_converted_as_pillow_does(tmp_path, settings):
    content = jpeg("CMYK", **settings)
    assert (decoded(tmp_path, content) == by_pillow(content)).all()


def test_what_has_a_warning_is_what_pillow_makes_of_it(tmp_path):
    content = jpeg("RGB", restart_marker_blocks=1)
    content = content.replace(b"\xff\xd2", b"\xff\xd5", 1)  # not the restart marker whose turn it is
    assert not images._decode_jpeg(content, np.empty((64, 64, 3), np.uint8))
    assert (decoded(tmp_path, content) == by_pillow(content)).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_no_part_of_a_jpeg_is_taken_for_the_whole(tmp_path, progressive):
    content = jpeg(quality=95, progressive=progressive)
    for size in range(0, len(content) - 2, 97):
        with pytest.raises(UserError, match=r"^[^\n]*a.JPEG cannot be read as an image: [^\n]+$"):
            decoded(tmp_path, content[:size])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("extra", [b"", struct.pack("<HH9s", 0x7075, 9, b"something")])
def test_members_of_a_zip_are_read_as_zipfile_reads_them(tmp_path, method, extra):
    member = zipfile.ZipInfo("ä.JPEG")
    member.extra, member.compress_type = extra, method
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("first", "something else")
        archive.writestr(member, jpeg())
    (image,) = images.decode(["ä.JPEG"], 64, tmp_path, "zip", tmp_path / "a.zip")
    assert (image == by_pillow(jpeg())).all()


# Where, in a member's line of the zip's directory, stand: flags, method, CRC, size of what is stored, and of the file.
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("at", "lie"),
    [
        (8, b"\1"),
        (10, b"\16\0"),
        (16, b"\0\0\0\0"),
        (20, b"\x64\0\0\0"),
        (20, b"\0\0\xff\0"),
        (20, b"\0\0\xff\xff"),
        (24, b"\x64\0\0\0"),
        (24, b"\0\0\xff\0"),
        (42, b"\1\0\0\0"),
    ],
    ids=["encrypted", "lzma", "crc", "less stored", "more stored", "huge", "smaller", "larger", "elsewhere"],
)
def test_a_zip_that_lies_about_a_member_is_refused(tmp_path, method, at, lie):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.JPEG", jpeg())
    content = bytearray(path.read_bytes())
    line = content.index(b"PK\1\2")
    content[line + at : line + at + len(lie)] = lie
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"^[^\n]*a.zip: a.JPEG [^\n]+$"):
        images.decode(["a.JPEG"], 64, tmp_path, "zip", path)


DECODING = """import os, sys
from pathlib import Path
from filter_sparsity.data.sources import images
own = images._decode_jpeg
def telling(content, place):
    os.write(1, b"%d\\n" % os.getpid())
    return own(content, place)
images.cores, images.CHUNK, images._decode_jpeg = lambda: 2, 1, telling
images.decode(["a.JPEG"] * 20_000, 64, Path(sys.argv[1]), "x")
"""


def test_who_decodes_ends_with_who_asked_for_it(tmp_path):
    (tmp_path / "a.JPEG").write_bytes(jpeg())
    asked = subprocess.Popen(
        [sys.executable, "-c", DECODING, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with asked:
        workers = {asked.stdout.readline() for _ in range(1000)}
        asked.kill()
        asked.communicate(timeout=60)  # ends when nobody is left who could write: a worker that stays is an error here
    assert len(workers - {""}) == 2


def test_litter_line_ends_and_links_change_nothing(folder, tmp_path):
    before = tiny_imagenet(folder.parent)
    images = folder / "train" / "n01" / "images"
    for name in (".DS_Store", "Thumbs.db", "._n01_1.JPEG"):
        (images / name).write_bytes(b"litter")
    (folder / "train" / "@eaDir" / "images").mkdir(parents=True)
    (folder / "train" / "@eaDir" / "images" / "n01_1.JPEG").write_bytes(b"litter")
    for name in ("wnids.txt", "val/val_annotations.txt"):
        text = (folder / name).read_text()
        (folder / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    (folder / "train" / "n02").rename(tmp_path / "elsewhere")
    (folder / "train" / "n02").symlink_to(tmp_path / "elsewhere")
    after = tiny_imagenet(folder.parent)
    for split in ("train", "test"):
        for one, other in zip(getattr(before, split), getattr(after, split), strict=True):
            assert (one == other).all()


def test_a_list_in_another_encoding_names_the_byte(folder):
    (folder / "wnids.txt").write_bytes(b"n01\nn02\n\xff")
    assert refused(folder.parent).endswith("wnids.txt is not UTF-8: byte 9 is 0xff: save it as UTF-8")
