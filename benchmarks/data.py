"""How fast data are prepared and how much memory it takes: `python benchmarks/data.py [CIFAR_TREE [SECTION ...]]`.

Writes the sections (cifar10, decoding, tiny_imagenet; all of them, if none is named) of data.json beside this file.
CIFAR_TREE is a folder with cifar10/train/<class>/*.png; without it, CIFAR is measured on random images. Its archive is
made here in the official layout, and so is all of Tiny-ImageNet: 110,000 JPEGs. Speeds are ratios within this run, in
turn with what they are compared with: the decoder that is used, and Pillow, each in a bare loop in as many processes.
Memory is the largest sum over a command's processes of their proportional set sizes, read 5 times a second. Takes 10
minutes and 3 GB of disk.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from simplejpeg import decode_jpeg

from filter_sparsity.progress import cores

sys.path.append(str(Path(__file__).parents[1] / "tests" / "unit"))
CLASSES, PER_CLASS, TEST = 200, 500, 10_000  # of Tiny-ImageNet
TASK = 500  # files a task
TURNS = 7
CORES = cores()


def seconds(work: Callable, *arguments) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def measured(work: Callable, *arguments) -> float:
    """Seconds of some work: as it says itself, if it does."""
    began = time.perf_counter()
    said = work(*arguments)
    return said if isinstance(said, float) else time.perf_counter() - began


def watched(work: Callable, *arguments) -> tuple[float, float]:
    """Seconds of some work in a process of its own, and its peak memory in bytes, with its children's."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    began, peak = time.perf_counter(), 0.0
    process.start()
    tree = psutil.Process(process.pid)
    while process.is_alive():
        now = 0.0
        with suppress(psutil.Error):
            for one in (tree, *tree.children(recursive=True)):
                with suppress(psutil.Error):
                    now += one.memory_full_info().pss
        peak = max(peak, now)
        time.sleep(0.2)
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - began, peak


def memory(peak: float, prepared: Path) -> dict[str, float]:
    """Against the larger split of what was prepared and 1 GB: the aim is 1 at most."""
    from filter_sparsity.data import prepared as data

    split = data.read(prepared).images["train"].nbytes
    return {"peak_bytes": round(peak), "split_bytes": split, "ratio_to_split_and_1_GB": peak / (split + 1e9)}


def decode_only(paths: list[str]) -> int:
    """The JPEG decoder, and nothing else."""
    for path in paths:
        with open(path, "rb") as file:  # noqa: PTH123 - as fast as can be
            decode_jpeg(file.read())
    return len(paths)


def decode_by_pillow(paths: list[str]) -> int:
    """The other decoder that one might take."""
    for path in paths:
        with Image.open(path) as image:
            image.load()
    return len(paths)


def decoder(paths: list[str], decode: Callable[[list[str]], int] = decode_only) -> float:
    """Seconds on all cores, from the first task to the last, without the start of the processes."""
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(decode, [paths[:1]] * CORES * 4))  # every process has loaded what it needs
        tasks = [paths[start : start + TASK] for start in range(0, len(paths), TASK)]
        return seconds(lambda: list(pool.map(decode, tasks)))


def draw(seed: int, paths: list[str]) -> None:
    """JPEGs of 64x64 pixels, about 2 kB each."""
    noise = np.random.default_rng(seed)
    for path in paths:
        coarse = Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC)) + noise.integers(-12, 13, (64, 64, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=75)


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Of what was measured in turn: the median."""
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))


def make_tiny_imagenet(root: Path, classes: int) -> list[str]:
    """A folder in the official layout; gives the names of the training images below `root`."""
    folder = root / "tiny-imagenet-200"
    wnids = [f"n{i:08}" for i in range(classes)]
    train = [f"{folder}/train/{wnid}/images/{wnid}_{i}.JPEG" for wnid in wnids for i in range(PER_CLASS)]
    test = [f"{folder}/val/images/val_{i}.JPEG" for i in range(TEST)]
    for path in train[::PER_CLASS] + test[:1]:
        Path(path).parent.mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(wnids))
    lines = (f"{Path(path).name}\t{wnids[i % classes]}\t0\t0\t63\t63\n" for i, path in enumerate(test))
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    chunks = [(train + test)[start : start + TASK] for start in range(0, len(train + test), TASK)]
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(draw, range(len(chunks)), chunks))
    return [os.path.relpath(path, root) for path in train]


def prepare(name: str, root: Path, out: Path) -> None:
    """The verb, as a user calls it."""
    from filter_sparsity import cli

    assert cli.main(["prepare", name, "--root", str(root), "--out", str(out)]) == 0


def write(images: int, out: Path) -> None:
    """Only the last step, of images that are in memory."""
    from filter_sparsity.data import prepared as data
    from filter_sparsity.data.sources.base import ArraySource

    splits = (
        (np.random.default_rng(0).integers(0, 256, (n, 3, 64, 64), dtype=np.uint8), np.arange(n) % CLASSES)
        for n in (images, TEST)
    )
    data.write("tiny_imagenet", ArraySource(tuple(map(str, range(CLASSES))), *splits), out)


def decoding() -> dict:
    """Against the bare decoders: as many images as Tiny-ImageNet has, each five times among them."""
    from filter_sparsity.data.sources.images import decode

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        archive = root / "images.zip"
        names = make_tiny_imagenet(root, CLASSES // 5)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                file.write(root / name, name)
        names *= 5
        paths = [f"{root}/{name}" for name in names]
        turns = []
        for _ in range(TURNS):
            turns.append(
                {
                    "decoder": measured(decoder, paths),
                    "folder": measured(decode, names, 64, root, "folder"),
                    "decoder again": measured(decoder, paths),
                    "zip": measured(decode, names, 64, root, "zip", archive),
                    "pillow": measured(decoder, paths, decode_by_pillow),
                }
            )
            print(turns[-1], flush=True)
    wall = {key: [turn[key] for turn in turns] for key in turns[0]}
    bare = wall["decoder"] + wall["decoder again"]
    return {
        "images": len(names),
        "turns": TURNS,
        "decoder_images_per_second": len(names) / statistics.median(bare),
        "pillow_images_per_second": len(names) / statistics.median(wall["pillow"]),
        "ratio": ratio(wall["decoder"], wall["folder"]),
        "ratio_from_zip": ratio(wall["decoder again"], wall["zip"]),
        "ratio_to_pillow": ratio(wall["pillow"], wall["folder"]),
        "ratio_to_pillow_from_zip": ratio(wall["pillow"], wall["zip"]),
    }


def tiny_imagenet() -> dict:
    """All of it, prepared by the verb, and only written."""
    with tempfile.TemporaryDirectory() as scratch:
        root, out = Path(scratch), Path(scratch) / "prepared"
        names = make_tiny_imagenet(root, CLASSES)
        bare = decoder([f"{root}/{name}" for name in names])
        took, peak = watched(prepare, "tiny_imagenet", root, out)
        return {
            "images": len(names) + TEST,
            "prepare_seconds": took,
            "ratio_of_prepare": bare * (1 + TEST / len(names)) / took,
            "prepare": memory(peak, out),
            "write": memory(watched(write, len(names), out)[1], out),
        }


def load_and_write(path: Path, own: dict, out: Path) -> None:
    from filter_sparsity.data import prepared as data
    from filter_sparsity.data.sources import cifar

    data.write("cifar10", cifar.load("cifar10", path.parent, type("Own", (cifar.official("cifar10"),), own)), out)


def cifar(tree: Path | None) -> dict:
    from test_cifar import make_archive

    from filter_sparsity.data import prepared as data
    from filter_sparsity.data.sources import cifar
    from filter_sparsity.data.sources.base import ArraySource

    found: dict = {}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "prepared"
        if tree:
            found["tree_seconds"], peak = watched(prepare, "cifar10", tree, out)
            found["tree"] = memory(peak, out)
            ready = data.read(out)
            source = ArraySource(ready.classes, *((ready.images[s], ready.labels[s]) for s in ("train", "test")))
        else:
            noise = np.random.default_rng(0)
            source = ArraySource(
                cifar.CLASSES["cifar10"],
                *(
                    (noise.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), np.arange(n) % 10)
                    for n in (50_000, 10_000)
                ),
            )
        path, kind = make_archive("cifar10", source, Path(scratch) / "original")
        own = {name: getattr(kind, name) for name in ("tgz_md5", "train_list", "test_list", "meta")}
        took, peak = watched(load_and_write, path, own, out)
        found |= {"archive_seconds": took, "ratio_to_20_seconds": took / 20, "archive": memory(peak, out)}
    return found | {"real_images": bool(tree)}


if __name__ == "__main__":
    tree, *wanted = [*sys.argv[1:], ""] if len(sys.argv) < 2 else sys.argv[1:]
    sections = {
        "cifar10": lambda: cifar(Path(tree) if tree else None),
        "decoding": decoding,
        "tiny_imagenet": tiny_imagenet,
    }
    out = Path(__file__).with_suffix(".json")
    found = json.loads(out.read_text()) if wanted else {}
    for name in wanted or sections:
        found[name] = {"cores": CORES, "load_before": round(os.getloadavg()[0], 2), **sections[name]()}
        out.write_text(json.dumps(found, indent=1) + "\n")
    print(out.read_text())
