"""No space left: one line, an exit code that is not 0, and nothing half-written."""

import hashlib
import resource
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from filter_sparsity import cli
from filter_sparsity.data import prepared
from filter_sparsity.data.renders import render, shapes
from filter_sparsity.data.sources import cifar
from filter_sparsity.data.sources.base import FileSource
from filter_sparsity.data.sources.download import download
from filter_sparsity.data.sources.imagenet import imagenet
from helpers.cifar_archive import make_archive, random_source
from helpers.imagenet_archives import archives
from helpers.serve import Site, serving

ROOM = 8192  # bytes
WHY = ("No space left on device", "File too large")


@contextmanager
def limit():
    """No file may be larger than ROOM: what stands in for a full disk where nothing may be mounted."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.fixture(params=["a small file system", "a limit"])
def disk(request, tmp_path):
    """A folder, and what to enter for it to be full."""
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == "a limit":
        yield folder, limit
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder, nullcontext
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def refused(disk):
    """The block meets the disk's end, and its error names a file there."""
    folder, full = disk
    with pytest.raises(OSError, match="|".join(WHY)) as error, full():
        yield
    assert str(error.value.filename).startswith(str(folder))


def test_preparing_is_one_line(disk, capsys):
    folder, full = disk
    with full():
        code = cli.main(["prepare", "digits", "--root", "o", "--out", str(folder / "a")])
    assert code == 1
    assert capsys.readouterr().err in {f"error: {folder / 'a'}: {why}\n" for why in WHY}
    assert not any(folder.iterdir())


def test_renders(disk):
    settings = render.Settings(("box",), 48, (3, 1), 4, (-180, 180), (-15, 45), 255, (1, 2), 0)
    foregrounds = render.render("shapes", shapes.models(Path(), settings.classes), settings)
    with refused(disk):
        render.write(foregrounds, disk[0] / "a")
    assert not any(disk[0].iterdir())


def test_an_index(disk, tmp_path):
    names = [f"{i:0200}" for i in range(60)]
    for name in names:
        (tmp_path / name).write_bytes(b"an image")
    split = (names, np.zeros(60, np.int64))
    with refused(disk):
        prepared.write_index("x", FileSource(("a",), split, split, tmp_path, 8, (0.5,), (0.5,)), disk[0] / "a")
    assert not any(disk[0].iterdir())


def test_unpacking_cifar(disk, tmp_path, monkeypatch):
    path, kind = make_archive("cifar10", random_source("cifar10"), tmp_path / "original")
    monkeypatch.setattr(tempfile, "tempdir", str(disk[0]))
    with refused(disk):
        cifar.load("cifar10", path.parent, kind)
    assert not any(disk[0].iterdir())


def test_unpacking_imagenet(disk, tmp_path, monkeypatch):
    names = archives(tmp_path / "original", monkeypatch)
    for path in names.values():
        (disk[0] / path.name).symlink_to(path)
    with refused(disk):
        imagenet(disk[0])
    assert {path.name for path in disk[0].iterdir()} <= {"meta.bin", *(path.name for path in names.values())}


def test_a_download_goes_on_once_there_is_room(disk, tmp_path):
    content = bytes(range(256)) * 100
    checksum = hashlib.md5(content).hexdigest()
    with serving(Site(content)) as site:
        with refused(disk):
            download(site.url, disk[0] / "a", checksum, pause=0)
        assert [path.name for path in disk[0].iterdir()] == ["a.part"]
        shutil.copy(disk[0] / "a.part", tmp_path)
        download(site.url, tmp_path / "a", checksum, pause=0)
    assert (tmp_path / "a").read_bytes() == content
