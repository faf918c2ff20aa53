"""What is asked of an archive before and while it is opened: it is the official one, and stays in its folder."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from ...errors import UserError


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def verify(archive: Path, checksum: str) -> None:
    """Raise UserError if the md5 of an archive is not what it must be. Nothing in it is opened before."""
    found = md5(archive)
    if found != checksum:
        raise UserError(
            f"{archive} is cut short or another file: its md5 is {found}, not {checksum}; delete it and get it again"
        )


def inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """A filter for extracting: raises tarfile.FilterError for devices, and for what points outside the folder."""
    if member.name.startswith("/"):  # tarfile's own filter would put it inside
        raise tarfile.AbsolutePathError(member)
    return tarfile.data_filter(member, folder)
