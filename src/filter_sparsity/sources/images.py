"""Reading many small image files: every core decodes, and what is not an image of the right size is said by name."""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import UserError

CHUNK = 500  # images a task


def decode(files: Sequence[str], side: int, folder: Path, what: str, archive: Path | None = None) -> np.ndarray:
    """RGB images uint8 (N, 3, side, side) of files below `folder`, or of members of a zip; grayscale becomes RGB.

    Raises UserError for a file that is missing, that is not an image, or that has another size.
    """
    images = np.empty((len(files), 3, side, side), np.uint8)
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    slow = 0.1 if sys.stderr.isatty() else 10.0  # seconds between lines
    with _workers(len(chunks)) as pool, tqdm(desc=what, total=len(files), unit=" images", mininterval=slow) as progress:
        tasks = (chunks, repeat(side), repeat(folder), repeat(archive))
        done = 0
        for decoded in pool.map(_decode, *tasks) if pool else map(_decode, *tasks):
            images[done : done + len(decoded)] = decoded
            done += len(decoded)
            progress.update(len(decoded))
    return images


@contextmanager
def _workers(tasks: int) -> Iterator[Executor | None]:
    """A process for each core that this process may use; none where they would have nothing to do."""
    cores = min(len(os.sched_getaffinity(0)), tasks)
    if cores < 2:
        yield None
        return
    pool = ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(files: Sequence[str], side: int, folder: Path, archive: Path | None) -> np.ndarray:
    """RGB images uint8 (N, 3, side, side)."""
    column = Image.new("RGB", (side, side * len(files)))  # one above the other, to leave Pillow's memory together
    members = zipfile.ZipFile(archive) if archive else None
    for i, file in enumerate(files):
        name = f"{archive}: {file}" if archive else f"{folder / file}"
        try:
            content = members.read(file) if members else (folder / file).read_bytes()
            with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
                if image.size != (side, side):
                    width, height = image.size
                    raise UserError(f"{name} has {width}x{height} pixels: every image has {side}x{side}")
                column.paste(image if image.mode == "RGB" else image.convert("RGB"), (0, side * i))
        except FileNotFoundError:
            raise UserError(f"{name} is not there") from None
        except (OSError, SyntaxError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{name} cannot be read as an image: {' '.join(str(error).split())}") from None
    if members:
        members.close()
    pixels = np.frombuffer(column.tobytes(), np.uint8).reshape(len(files), side, side, 3)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
