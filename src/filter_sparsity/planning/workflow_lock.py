"""One Snakemake at a time in a folder, and no lock left behind by one that was killed. Torch-free: the Snakefile's.

Snakemake notes in .snakemake/locks which files it is about; a killed one leaves the notes there, and two that start or
end at once trip over them. So whoever works in a folder first locks a file beside them. The system lets go of that lock
when the process ends, however it ends, and jobs do not inherit it.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ..errors import UserError

FOLDER = Path(".snakemake")
LOOKS = ("--dry-run", "--dryrun", "--lint", "--list", "--list-rules", "--list-target-rules", "--list-changes",
         "--list-untracked", "--dag", "--rulegraph", "--filegraph", "--d3dag", "--summary", "--detailed-summary",
         "-n", "-l", "-S", "-D", "--nolock")  # fmt: skip

_held: list[IO[str]] = []  # a file that nothing refers to is closed, and its lock is gone


def take(arguments: Sequence[str], folder: Path = FOLDER) -> bool:
    """Keep other calls from working in this folder as long as this process lives; calls that only look need no turn.

    Deletes the locks of a Snakemake that was killed, and gives whether there were any. Raises UserError if another
    call is at work.
    """
    if any(argument.split("=")[0] in LOOKS for argument in arguments):
        return False
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / "at-work").open("a+")
    except OSError:  # Snakemake has its own words for a folder that may not be written
        return False
    file.seek(0)
    before, here = file.read(), f" on {platform.node()}"
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = f"process {before}" if before else "it has just begun"
        raise UserError(f"another Snakemake is at work in this folder ({who}): let it end, or stop it") from None
    except OSError:  # a file system without locks: Snakemake's own remain
        return False
    _held.append(file)
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}{here}")
        file.flush()
        # Of another machine's process a shared file system may not tell us: its locks are left to the user.
        stale = [*(folder / "locks").glob("*.lock")] if before.endswith(here) else []
        if stale:
            shutil.rmtree(folder / "locks")
    except OSError:
        return False
    return bool(stale)
