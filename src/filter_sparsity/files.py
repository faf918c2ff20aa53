"""Write files whole or not at all, and let system errors name their file."""

from __future__ import annotations

import glob
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` if the block ends without an error.

    Deletes temporary files that killed writers of `path` left on this machine. Those of other machines stay: their
    processes cannot be asked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = f".{path.name}.{platform.node()}"
    temporary = path.with_name(f"{name}.{os.getpid()}.part")
    try:
        with naming_file(path):
            for part in path.parent.glob(f"{glob.escape(name)}.[0-9]*.part"):
                if not _is_running(int(part.name.split(".")[-2])):
                    part.unlink(missing_ok=True)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Let system errors of the block name `path`: a full disk names no file by itself."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # gzip raises its own without a number, which say in words what is wrong
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
