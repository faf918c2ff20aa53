"""Many small image files, decoded on every core. A file that is no image is refused by its name."""

from __future__ import annotations

import io
import multiprocessing
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from simplejpeg import decode_jpeg, decode_jpeg_header

from ...errors import UserError
from ...progress import Bar, cores

CHUNK = 500  # images that a process takes at once
LARGEST = 1 << 24  # bytes of a file in a zip: a larger one is not one of many small images


def decode(files: Sequence[str], side: int, folder: Path, what: str, archive: Path | None = None) -> np.ndarray:
    """RGB images uint8 (N, 3, side, side) of files below `folder`, or of members of a zip; grayscale becomes RGB.

    Raises UserError for a file that is missing, that is not an image, or that has another size.
    """
    images = np.empty((len(files), 3, side, side), np.uint8)
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    processes = min(cores(), len(chunks))
    with ExitStack() as stack:
        progress = stack.enter_context(Bar(what, len(files), "images"))
        if processes < 2:
            source = stack.enter_context(closing(_Files(folder, archive)))
            decoded: Iterator[np.ndarray] = map(partial(_decode_all, source), chunks, repeat(side))
        else:
            # Forked, since to start Python takes as long as to decode ten thousand images. They take no thread's lock.
            context = multiprocessing.get_context("fork")
            pool = ProcessPoolExecutor(processes, context, _start_worker, (folder, archive))
            stack.callback(pool.shutdown, cancel_futures=True)
            decoded = pool.map(_decode_in_worker, chunks, repeat(side))
        try:
            for number, part in enumerate(decoded):
                images[number * CHUNK :][: len(part)] = part
                progress.update(len(part))
        except BrokenProcessPool:
            raise UserError(
                f"{what}: a process that decoded was ended from outside: is there too little memory?"
            ) from None
    return images


@contextmanager
def naming_image(name: str | Path) -> Iterator[None]:
    """Errors of Pillow in the block become a UserError of one line that begins with `name`."""
    try:
        with refusing_decompression_bombs():
            yield
    except Exception as error:
        raise image_error(name, error) from None


@contextmanager
def refusing_decompression_bombs() -> Iterator[None]:
    """Files of more pixels than Pillow allows (89 million) are an error before they are decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def image_error(name: str | Path, error: Exception) -> UserError:
    """The one line for an error that reading a file as an image raised."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, FileNotFoundError):
        return UserError(f"{name} is not there")
    if isinstance(error, UnidentifiedImageError):  # it names the file again
        said = "it is of no kind that is known here"
    else:
        said = " ".join(str(error).split())[:200] or type(error).__name__  # zipfile's EOFError says nothing
    return UserError(f"{name} cannot be read as an image: {said}")


class _Files:
    """Files below a folder, or members of a zip."""

    def __init__(self, folder: Path, archive: Path | None) -> None:
        self.place = f"{archive}: " if archive else f"{folder}/"
        self.members = zipfile.ZipFile(archive) if archive else None

    def close(self) -> None:
        if self.members is not None:
            self.members.close()

    def read(self, file: str) -> bytes:
        if self.members is None:
            return Path(f"{self.place}{file}").read_bytes()
        member = self.members.getinfo(file)
        size = max(member.file_size, member.compress_size)
        if size > LARGEST:
            raise UserError(f"{self.place}{file} has {size:,} bytes: it is not one of many small images")
        content = self.members.read(member)
        if len(content) != member.file_size or member.header_offset + member.compress_size > self.members.start_dir:
            raise zipfile.BadZipFile("it has not the size that the zip says")
        return content


def _decode_all(source: _Files, files: Sequence[str], side: int) -> np.ndarray:
    """Images (N, 3, side, side) of some files."""
    pixels = np.empty((len(files), side, side, 3), np.uint8)
    for file, place in zip(files, pixels, strict=True):
        name = f"{source.place}{file}"
        try:
            content = source.read(file)
            if not _decode_jpeg(content, place):
                _decode_any(content, place, name)
        except Exception as error:
            raise image_error(name, error) from None
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _decode_jpeg(content: bytes, place: np.ndarray) -> bool:
    """Decode an intact JPEG of the right size, three times as fast as Pillow; returns whether it was one.

    Its pixels are those that Pillow gives: both use libjpeg-turbo. Pillow judges all others: those of four colours,
    which it converts in a way of its own, and those that libjpeg-turbo refuses or has a mere warning for.
    """
    try:
        height, width, colours, _ = decode_jpeg_header(content)
        if (height, width) != place.shape[:2] or colours not in ("YCbCr", "RGB", "Gray"):
            return False
        decode_jpeg(content, buffer=place)
    except Exception:  # a KeyError, too, where the header is odd
        return False
    return True


def _decode_any(content: bytes, place: np.ndarray, name: str) -> None:
    """Decode by Pillow, whose errors name the fault."""
    height, width, _ = place.shape
    with refusing_decompression_bombs(), Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
        if image.size != (width, height):
            found = "x".join(map(str, image.size))
            raise UserError(f"{name} has {found} pixels: every image has {width}x{height}")
        place[:] = image.convert("RGB")


_source: _Files  # of a worker process


def _start_worker(folder: Path, archive: Path | None) -> None:
    global _source
    _source = _Files(folder, archive)
    # A worker waits at a pipe whose other end it holds, too: it would not notice that its parent was killed.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _decode_in_worker(files: Sequence[str], side: int) -> np.ndarray:
    return _decode_all(_source, files, side)
