"""Archives from outside: each is checked before it is opened, and writes nothing outside its folder."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zipfile
import zlib
from pathlib import Path

from ...errors import UserError

# What Python raises for a damaged archive.
BAD_TAR = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
BAD_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def verify(archive: Path, checksum: str) -> None:
    """Raise UserError if the md5 of an archive is not `checksum`, which its authors give."""
    found = md5(archive)
    if found != checksum:
        raise UserError(
            f"{archive} is cut short or another file: its md5 is {found}, not {checksum}; delete it and get it again"
        )


def safe_member(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """A filter for `extractall`: raises tarfile.FilterError for devices and for paths outside the folder."""
    if member.name.startswith("/"):  # tarfile's own filter would put it inside
        raise tarfile.AbsolutePathError(member)
    return tarfile.data_filter(member, folder)
