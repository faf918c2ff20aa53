"""Reading many small image files: every core decodes into the one array, and what is not an image is said by name."""

from __future__ import annotations

import io
import math
import multiprocessing
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import UserError
from ..work import bar, cores

CHUNK = 20  # images that are decoded at once: as many as a processor keeps close by
CHUNKS = 25  # that a process takes at once
LARGEST = 1 << 24  # bytes of a file in an archive: what says that it is larger is not one of many small images


def decode(files: Sequence[str], side: int, folder: Path, what: str, archive: Path | None = None) -> np.ndarray:
    """RGB images uint8 (N, 3, side, side) of files below `folder`, or of members of a zip; grayscale becomes RGB.

    Raises UserError for a file that is missing, that is not an image, or that has another size.
    """
    shape = (len(files), 3, side, side)
    starts = range(0, len(files), CHUNK)
    chunks = [files[start : start + CHUNK] for start in starts]
    with (
        _shared(shape) as (images, memory),
        _workers(math.ceil(len(chunks) / CHUNKS), (memory, shape, folder, archive)) as pool,
        bar(what, len(files), " images") as progress,
    ):
        try:
            done = (
                map(_Decoder(images, folder, archive), starts, chunks)
                if pool is None
                else pool.map(_work, starts, chunks, chunksize=CHUNKS)
            )
            for count in done:
                progress.update(count)
        except BrokenProcessPool:
            raise UserError(
                f"{what}: a process that decoded was ended from outside: is there too little memory?"
            ) from None
    return images


@contextmanager
def legible(name: str | Path) -> Iterator[None]:
    """Whatever an image file from outside makes of Pillow in the block is one line that begins with `name`."""
    try:
        with refusing_bombs():
            yield
    except Exception as error:
        raise unreadable(name, error) from None


@contextmanager
def refusing_bombs() -> Iterator[None]:
    """Files of more pixels than Pillow takes for honest (89 million) are an error before they are decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def unreadable(name: str | Path, error: Exception) -> UserError:
    """What is said of a file that raised `error` as it was read as an image."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, FileNotFoundError):
        return UserError(f"{name} is not there")
    known = not isinstance(error, UnidentifiedImageError)  # which names the file again
    said = " ".join(str(error).split())[:200] if known else "it is of no kind that is known here"
    return UserError(f"{name} cannot be read as an image: {said}")


@contextmanager
def _shared(shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, str]]:
    """An array uint8, and the path under which other processes can map it while the block lasts."""
    memory = os.memfd_create("images")  # unlike /dev/shm it has no size of its own
    try:
        os.ftruncate(memory, max(1, math.prod(shape)))
        path = f"/proc/{os.getpid()}/fd/{memory}"
        yield _mapped(path, shape), path
    finally:
        os.close(memory)


def _mapped(path: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.memmap(path, np.uint8, "r+", shape=shape)) if math.prod(shape) else np.empty(shape, np.uint8)


@contextmanager
def _workers(tasks: int, arguments: tuple) -> Iterator[Executor | None]:
    """A process for each core that this process may use; none where they would have nothing to do."""
    processes = min(cores(), tasks)
    if processes < 2:
        yield None
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, arguments)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Decoder:
    """Decodes files below a folder, or members of a zip, into their places in `images` (N, 3, side, side)."""

    def __init__(self, images: np.ndarray, folder: Path, archive: Path | None) -> None:
        self.images, self.folder, self.archive = images, folder, archive
        self.members = zipfile.ZipFile(archive) if archive else None

    def __call__(self, start: int, files: Sequence[str]) -> int:
        """How many there were."""
        side = self.images.shape[-1]
        column = Image.new("RGB", (side, side * len(files)))  # one above the other, to leave Pillow's memory together
        with refusing_bombs():
            for i, file in enumerate(files):
                name = f"{self.archive}: {file}" if self.archive else f"{self.folder}/{file}"
                try:
                    with Image.open(self._open(file, name), formats=("JPEG", "PNG")) as image:
                        if image.size != (side, side):
                            width, height = image.size
                            raise UserError(f"{name} has {width}x{height} pixels: every image has {side}x{side}")
                        column.paste(image if image.mode == "RGB" else image.convert("RGB"), (0, side * i))
                except Exception as error:
                    raise unreadable(name, error) from None
        pixels = np.frombuffer(column.tobytes(), np.uint8).reshape(len(files), side, side, 3)
        self.images[start : start + len(files)] = pixels.transpose(0, 3, 1, 2)
        return len(files)

    def _open(self, file: str, name: str) -> str | io.BytesIO:
        if self.members is None:
            return name
        size = self.members.getinfo(file).file_size
        if size > LARGEST:
            raise UserError(f"{name} has {size:,} bytes: it is not one of many small images")
        return io.BytesIO(self.members.read(file))


_decoder: _Decoder  # of a worker process


def _begin(memory: str, shape: tuple[int, ...], folder: Path, archive: Path | None) -> None:
    global _decoder
    _decoder = _Decoder(_mapped(memory, shape), folder, archive)


def _work(start: int, files: Sequence[str]) -> int:
    return _decoder(start, files)
