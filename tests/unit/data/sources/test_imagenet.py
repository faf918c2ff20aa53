"""ImageNet as miniature archives in the official layout: parsed by torchvision, then streamed."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image

from filter_sparsity.data import prepared
from filter_sparsity.data.sources.imagenet import imagenet
from filter_sparsity.errors import UserError
from filter_sparsity.measuring.extract import measure
from filter_sparsity.training.loop import train
from filter_sparsity.training.streaming import FileLoader
from helpers.decompression_bomb import bomb
from helpers.imagenet_archives import TRUTH, WNIDS, archives
from helpers.loader_iteration import epoch

CPU = torch.device("cpu")


@pytest.fixture
def index(tmp_path, monkeypatch):
    archives(tmp_path / "original", monkeypatch)
    prepared.prepare("imagenet", tmp_path / "original", tmp_path / "prepared")
    return prepared.read(tmp_path / "prepared")


def test_the_index_names_every_image_with_its_class(index):
    assert index.classes == ("n01", "n02", "n03")
    for file, label in zip(index.files["train"], index.labels["train"], strict=True):
        assert file.split("/")[1] == index.classes[label] == file.split("/")[2][:3]
    wanted = {f"ILSVRC2012_val_{i:08}.JPEG": WNIDS[k - 1] for i, k in enumerate(TRUTH, 1)}
    named = zip(index.files["test"], index.labels["test"], strict=True)
    assert {file.split("/")[-1]: index.classes[label] for file, label in named} == wanted


def test_extracted_folders_give_the_same_index(index, tmp_path):
    for path in (tmp_path / "original").glob("*.tar*"):
        path.unlink()
    prepared.prepare("imagenet", tmp_path / "original", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "prepared").read_bytes()


@pytest.mark.parametrize(
    "kept", [[], ["meta.bin"], ["ILSVRC2012_devkit_t12.tar.gz"]], ids=["neither", "meta", "devkit"]
)
def test_a_shared_folder_is_read_and_nothing_is_written(index, tmp_path, kept):
    root = tmp_path / "original"
    for path in root.iterdir():
        if path.is_file() and path.name not in kept:
            path.unlink()
    before = sorted(path.name for path in root.iterdir())
    assert before == sorted([*kept, "train", "val"])
    prepared.prepare("imagenet", root, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "prepared").read_bytes()
    assert sorted(path.name for path in root.iterdir()) == before


def test_without_a_devkit_both_splits_have_the_same_classes(index):
    for name in ("meta.bin", "ILSVRC2012_devkit_t12.tar.gz"):
        (index.root / name).unlink()
    (index.root / "val" / "n02").rename(index.root / "val" / "n04")
    assert "n02 is missing, or no class" in refused(index.root)


def test_a_tmpdir_that_is_too_long_for_workers_is_one_line(index, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 100)))
    with pytest.raises(UserError, match=r"\ATMPDIR has \d+ bytes, [^\n]+: export TMPDIR=/tmp\Z"):
        list(FileLoader(index, "test", CPU, flip=False, workers=1).batches())
    assert len(list(FileLoader(index, "test", CPU, flip=False, workers=0).batches())) == 1


SMALL_SHARED_MEMORY = """
import sys
from pathlib import Path
import torch
from filter_sparsity.data import prepared
from filter_sparsity.training.streaming import FileLoader
data = prepared.read(Path(sys.argv[1]))
print(len(list(FileLoader(data, "test", torch.device("cpu"), flip=False, workers=2).batches())))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("size", "said"), [("64m", "/dev/shm has 67 MB free"), ("200m", "1")])
def test_too_little_shared_memory_names_the_setting(index, tmp_path, size, said):
    """As in a container, whose /dev/shm has 64 MB; evaluation batches of 100 images have 15 MB each."""
    mounted = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    program = [sys.executable, "-c", SMALL_SHARED_MEMORY, str(tmp_path / "prepared")]
    command = ["unshare", "--mount", "sh", "-c", mounted, "sh", *program]
    if subprocess.run([*command[:4], mounted, "sh", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (
        (done.stdout + done.stderr).splitlines()[-1].removeprefix("filter_sparsity.errors.UserError: ").startswith(said)
    )
    assert ("--shm-size=1g" in done.stderr) == (size == "64m")


@pytest.mark.slow
def test_order_and_crops_depend_on_the_seed_not_on_the_workers(index):
    def one(seed, workers):
        stream = FileLoader(index, "train", CPU, flip=True, workers=workers)
        return list(epoch(stream, 5, torch.Generator().manual_seed(seed)))

    alone, two, other = one(0, 0), one(0, 2), one(1, 0)
    assert len(alone) == len(two) == 2  # whole batches of 5 of 12
    assert alone[0][0].shape == (5, 3, 224, 224)
    for (images, labels), (others, theirs) in zip(alone, two, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, theirs)
    assert not torch.equal(alone[0][0], other[0][0])


def test_streaming_leaves_the_global_generator_alone(index):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(epoch(FileLoader(index, "train", CPU, flip=True, workers=0), 4, torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_test_images_are_the_normalised_centre(index):
    (images, labels), *more = FileLoader(index, "test", CPU, flip=False, workers=0).batches()
    assert not more
    assert labels.tolist() == index.labels["test"].tolist()
    with Image.open(index.root / index.files["test"][0]) as image:
        factor = 256 / min(image.size)
        width, height = (int(factor * length) for length in image.size)
        resized = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    top, left = round((height - 224) / 2), round((width - 224) / 2)
    pixels = resized[top : top + 224, left : left + 224] / 255
    wanted = (pixels - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert np.abs(images[0].permute(1, 2, 0).numpy() - wanted).max() < 1e-5


@pytest.mark.slow
def test_a_network_is_trained_and_measured_on_it(index, make_spec):
    spec = make_spec(dataset="imagenet", batch_size=4, phase_steps=(2, 1))
    model, history, _ = train(spec, 0, index, CPU, 2)
    again, _, _ = train(spec, 0, index, CPU, 2)
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    assert history[-1].step == 3
    measured, features = measure(spec, model, index)
    assert 0 <= measured["test_error"] <= 1
    assert len(features) == sum(spec.network.filters)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("content", [b"no image", bomb(10_000), bomb(60_000)], ids=["text", "large", "huge"])
def test_an_unreadable_image_is_one_line(index, workers, content):
    path = index.root / index.files["test"][2]
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        list(FileLoader(index, "test", CPU, flip=False, workers=workers).batches())
    assert str(error.value).startswith(f"{path} cannot be read as an image")
    assert "\n" not in str(error.value)


def refused(root):
    with pytest.raises(UserError) as error:
        imagenet(root)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("split", ["train", "val", "devkit"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_an_incomplete_archive_is_refused_and_leaves_nothing(tmp_path, monkeypatch, split, damage):
    path = archives(tmp_path / "original", monkeypatch)[split]
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100])
    assert f"The archive {path.name} is not present in the root directory or is corrupted" in refused(path.parent)
    assert not (path.parent / split).exists()


@pytest.mark.parametrize("name", ["../outside.tar", "/outside.tar"])
def test_members_that_point_outside_are_refused(tmp_path, monkeypatch, name):
    path = archives(tmp_path / "original", monkeypatch, outside=name)["train"]
    assert "outside" in refused(path.parent)
    assert not (path.parent / "train").exists()
    assert not list(tmp_path.rglob("outside*"))


def test_a_missing_class_is_told(index, tmp_path):
    for path in (index.root / "train" / "n02").iterdir():
        path.unlink()
    assert "n02" in refused(index.root)
    (index.root / "train" / "n02").rmdir()
    assert "n02 is missing" in refused(index.root)


def test_litter_in_extracted_folders_changes_nothing(index, tmp_path):
    (index.root / "train" / "@eaDir").mkdir()
    (index.root / "val" / ".DS_Store").write_bytes(b"litter")
    first = min((index.root / "train" / "n02").iterdir())
    first.with_name(f"._{first.name}").write_bytes(b"litter")
    prepared.prepare("imagenet", index.root, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "prepared").read_bytes()


def test_an_empty_image_is_refused_by_name(index, tmp_path):
    path = index.root / index.files["train"][3]
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"\A[^\n]+ is empty: get it again\Z") as error:
        prepared.prepare("imagenet", index.root, tmp_path / "again")
    assert str(path) in str(error.value)
    assert not (tmp_path / "again").exists()
