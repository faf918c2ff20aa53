"""Reading many small image files: every core decodes into the one array, and what is not an image is said by name."""

from __future__ import annotations

import io
import math
import multiprocessing
import os
import struct
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from simplejpeg import decode_jpeg, decode_jpeg_header

from ...errors import UserError
from ...progress import bar, cores

CHUNK = 20  # images that are decoded at once: as many as a processor keeps close by
CHUNKS = 25  # that a process takes at once
LARGEST = 1 << 24  # bytes of a file: what says that it is larger is not one of many small images
SMALL = 1 << 16  # bytes of a file that are read at once
HEADER, ENCRYPTED = 30, 1  # of a member of a zip: bytes before its name, and a flag


def decode(files: Sequence[str], side: int, folder: Path, what: str, archive: Path | None = None) -> np.ndarray:
    """RGB images uint8 (N, 3, side, side) of files below `folder`, or of members of a zip; grayscale becomes RGB.

    Raises UserError for a file that is missing, that is not an image, or that has another size.
    """
    shape = (len(files), 3, side, side)
    starts = range(0, len(files), CHUNK)
    chunks = [files[start : start + CHUNK] for start in starts]
    with ExitStack() as stack:
        memory = stack.enter_context(_memory(math.prod(shape)))
        source = stack.enter_context(_Members(archive)) if archive else _Folder(folder)
        decoder = _Decoder(memory.fileno(), side, source)
        pool = stack.enter_context(_workers(math.ceil(len(chunks) / CHUNKS), decoder))
        progress = stack.enter_context(bar(what, len(files), " images"))
        try:
            done = map(decoder, starts, chunks) if pool is None else pool.map(_work, starts, chunks, chunksize=CHUNKS)
            for count in done:
                progress.update(count)
        except BrokenProcessPool:
            raise UserError(
                f"{what}: a process that decoded was ended from outside: is there too little memory?"
            ) from None
        return np.asarray(np.memmap(memory, np.uint8, "r+", shape=shape)) if files else np.empty(shape, np.uint8)


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


def _memory(size: int) -> io.FileIO:
    """A file in memory, which lives on where it is mapped. Unlike one in /dev/shm it has no limit of its own.

    It is mapped only after images were decoded: to write to it takes half as long as to touch new pages one by one.
    """
    memory = io.FileIO(os.memfd_create("images"), "r+")
    memory.truncate(size)
    return memory


@contextmanager
def _workers(tasks: int, decoder: _Decoder) -> Iterator[Executor | None]:
    """A process for each core that this process may use; none where they would have nothing to do.

    They are forked: to start Python anew takes each of them as long as to decode ten thousand images. They may be,
    though this process has threads, since they only decode: they take no lock that a thread may have held.
    """
    processes = min(cores(), tasks)
    if processes < 2:
        yield None
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _begin, (decoder,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Folder:
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)  # a Path takes as long to make another as the file takes to read

    def name(self, file: str) -> str:
        return f"{self.folder}/{file}"

    def read(self, file: str) -> bytes:
        descriptor = os.open(f"{self.folder}/{file}", os.O_RDONLY)  # opening it for Python takes as long again
        try:
            content = os.read(descriptor, SMALL)
            while len(content) >= SMALL and (more := os.read(descriptor, len(content))):
                content += more
            return content
        finally:
            os.close(descriptor)


class _Members:
    """Members of a zip, stored or deflated.

    Its directory is read by zipfile. Its members are read here, in half of zipfile's time and by many processes that
    have the same open file: what is in a member must have the size and the checksum that the directory says.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive

    def __enter__(self) -> _Members:
        self.file = self.archive.open("rb")
        with zipfile.ZipFile(self.file) as directory:
            self.members = {member.filename: member for member in directory.infolist()}
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def name(self, file: str) -> str:
        return f"{self.archive}: {file}"

    def read(self, file: str) -> bytes:
        member, descriptor = self.members[file], self.file.fileno()
        size = max(member.file_size, member.compress_size)
        if size > LARGEST:
            raise UserError(f"{self.name(file)} has {size:,} bytes: it is not one of many small images")
        if member.flag_bits & ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile("it is encrypted, or compressed in an unusual way")
        header = os.pread(descriptor, HEADER, member.header_offset)
        if len(header) < HEADER or not header.startswith(b"PK\3\4"):
            raise zipfile.BadZipFile("it is not where the zip says")
        fields = sum(struct.unpack_from("<HH", header, 26))  # bytes of the name and of what else stands before it
        begin = member.header_offset + HEADER + fields
        content = os.pread(descriptor, member.compress_size, begin)
        whole = len(content) == member.compress_size
        if member.compress_type == zipfile.ZIP_DEFLATED:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            content = inflater.decompress(content, member.file_size + 1)  # no more than is said, and a byte
            whole = whole and inflater.eof and not inflater.unused_data
        if not whole or len(content) != member.file_size:
            raise zipfile.BadZipFile("it has not the size that the zip says")
        if zlib.crc32(content) != member.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {file!r}")
        return content


class _Decoder:
    """Decodes files into their places in `memory`, which is that of images (N, 3, side, side)."""

    def __init__(self, memory: int, side: int, source: _Folder | _Members) -> None:
        self.memory, self.source = memory, source
        self.pixels = np.empty((CHUNK, side, side, 3), np.uint8)  # once: new memory takes longer than to fill it
        self.planes = np.empty((CHUNK, 3, side, side), np.uint8)

    def __call__(self, start: int, files: Sequence[str]) -> int:
        """How many there were."""
        pixels, planes = self.pixels[: len(files)], self.planes[: len(files)]
        for file, place in zip(files, pixels, strict=True):
            try:
                content = self.source.read(file)
                if not _decode_jpeg(content, place):
                    _decode_any(content, place, self.source.name(file))
            except Exception as error:
                raise unreadable(self.source.name(file), error) from None
        planes[:] = pixels.transpose(0, 3, 1, 2)
        written = os.pwrite(self.memory, planes.data, start * planes[0].nbytes)
        assert written == planes.nbytes
        return len(files)


def _decode_jpeg(content: bytes, place: np.ndarray) -> bool:
    """Whether it is a JPEG of that size in which all is well: then it is decoded, thrice as fast as by Pillow.

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
    """By Pillow. What it raises says what is wrong."""
    height, width, _ = place.shape
    with refusing_bombs(), Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
        if image.size != (width, height):
            found = "x".join(map(str, image.size))
            raise UserError(f"{name} has {found} pixels: every image has {width}x{height}")
        place[:] = image.convert("RGB")


_decoder: _Decoder  # of a worker process


def _begin(decoder: _Decoder) -> None:
    global _decoder
    _decoder = decoder
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    """A forked worker holds the end of the pipe that it waits at: it would not notice that nobody is there any more."""
    parent.join()
    os._exit(1)


def _work(start: int, files: Sequence[str]) -> int:
    return _decoder(start, files)
