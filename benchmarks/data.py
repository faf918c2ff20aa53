"""How fast data are prepared, each as a ratio measured in one run: `python benchmarks/data.py [CIFAR_TREE]`.

CIFAR_TREE is a folder with cifar10/train/<class>/*.png; without it, CIFAR is measured on random images. The archive is
made here in the official layout. Writes data.json beside this file.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "tests" / "unit"))
JPEGS, TASK = 10_000, 500  # files; files a task


def seconds(work, *arguments) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def cpu_seconds() -> float:
    """Of this process and of those that it has started and that have ended: what a busy machine does not distort."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def bare(paths: list[str]) -> int:
    """The JPEG decoder, and nothing else."""
    for path in paths:
        with Image.open(path) as image:
            image.load()
    return len(paths)


def rate_of_the_decoder(paths: list[str]) -> float:
    """Images a second on all cores, from the first task to the last, without the start of the processes."""
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(bare, [paths[:1]] * cores * 4))  # every process has loaded what it needs
        tasks = [paths[start : start + TASK] for start in range(0, len(paths), TASK)]
        return len(paths) / seconds(lambda: list(pool.map(bare, tasks)))


def jpegs(folder: Path) -> list[str]:
    """Names of files of 64x64 pixels, about 2 kB each."""
    draw = np.random.default_rng(0)
    for i in range(JPEGS):
        coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
            (64, 64), Image.Resampling.BICUBIC
        )
        pixels = np.asarray(coarse) + draw.integers(-12, 13, (64, 64, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.JPEG", quality=75)
    return [f"{i}.JPEG" for i in range(JPEGS)]


def tiny_imagenet() -> dict:
    from filter_sparsity.sources.images import decode

    with tempfile.TemporaryDirectory() as scratch:
        names = jpegs(Path(scratch))
        paths = [f"{scratch}/{name}" for name in names]
        before = rate_of_the_decoder(paths * 2)  # before and after, since the machine may be busy
        cpu = cpu_seconds()
        took = seconds(decode, names * 10, 64, Path(scratch), "as many as Tiny-ImageNet")
        own, cpu = cpu_seconds() - cpu, cpu_seconds()
        rate_of_the_decoder(paths * 10)
        bare_cpu = cpu_seconds() - cpu
        decoder = (before + rate_of_the_decoder(paths * 2)) / 2
    ours = 10 * len(names) / took
    return {
        "decoder_images_per_second": decoder,
        "ours_images_per_second": ours,
        "ratio": ours / decoder,
        "ratio_by_cpu_time": bare_cpu / own,
    }


def cifar(tree: Path | None) -> dict:
    from test_cifar import make_archive

    from filter_sparsity import data
    from filter_sparsity.sources import cifar
    from filter_sparsity.sources.base import Source

    measured: dict = {}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "prepared"
        if tree:
            measured["tree_seconds"] = seconds(data.prepare, "cifar10", tree, out)
            ready = data.read(out)
            source = Source(ready.classes, *((ready.images[s], ready.labels[s]) for s in ("train", "test")))
        else:
            draw = np.random.default_rng(0)
            source = Source(
                cifar.CLASSES["cifar10"],
                *((draw.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), np.arange(n) % 10) for n in (50_000, 10_000)),
            )
        path, kind = make_archive("cifar10", source, Path(scratch) / "original")
        took = seconds(lambda: data.write("cifar10", cifar.load("cifar10", path.parent, kind), out))
        measured |= {"archive_seconds": took, "ratio_to_20_seconds": took / 20, "real_images": bool(tree)}
    return measured


if __name__ == "__main__":
    found = {
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "cifar10": cifar(Path(sys.argv[1]) if len(sys.argv) > 1 else None),
        "tiny_imagenet": tiny_imagenet(),
    }
    text = json.dumps(found, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n")
    print(text)
