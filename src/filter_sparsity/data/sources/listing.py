"""Which files of a folder or an archive belong to a dataset, the same for all sources; and the lines of its lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from ...errors import UserError

# What systems and file servers leave in folders and zips; names that begin with a dot are such, too.
LITTER = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found"}


def is_litter(path: PurePath | str) -> bool:
    """Whether a relative path, or a folder on it, was left by a system: `._01.off`, `__MACOSX/`, `Thumbs.db`."""
    parts = PurePath(path).parts
    return any(part.startswith(".") or part.casefold() in LITTER for part in parts)


def has_ending(path: PurePath | str, endings: tuple[str, ...]) -> bool:
    """Whether a name ends in one of some endings, such as `.jpg`, in capitals or not."""
    return str(path).casefold().endswith(endings)


def files_in(folder: Path, *endings: str) -> list[str]:
    """Names of the files of a dataset right in a folder, sorted; of these endings if any are given."""
    found = (path for path in folder.iterdir() if not is_litter(path.name) and path.is_file())
    return sorted(path.name for path in found if not endings or has_ending(path.name, endings))


def folders_in(folder: Path) -> list[str]:
    """Names of the folders right in a folder, sorted, links to folders among them."""
    return sorted(path.name for path in folder.iterdir() if not is_litter(path.name) and path.is_dir())


def files_below(folder: Path) -> Iterator[str]:
    """Relative paths, with slashes, of all files of a dataset below a folder; links to folders are followed."""
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(place, name).relative_to(folder)
            if not is_litter(path):
                yield path.as_posix()


def text_lines(content: bytes, where: str) -> list[str]:
    """The lines of a list in UTF-8 that are not empty, whatever their ends, with or without a byte order mark.

    Raises UserError that names the first byte that is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where} is not UTF-8: byte {error.start + 1:,} is 0x{content[error.start]:02x}: save it as UTF-8"
        ) from None
    return [line for line in text.splitlines() if line.strip()]
