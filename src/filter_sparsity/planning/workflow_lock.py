"""One Snakemake at a time in a folder, and no lock left behind by one that was killed. Torch-free: the Snakefile's.

Snakemake lists in .snakemake/locks the files that it works on. A killed one leaves the lists there, and two that start
or end at once fail over them. So a call first locks a file beside them. The system releases that lock when the process
ends, however it ends, and jobs do not inherit it.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ..errors import UserError

FOLDER = Path(".snakemake")
# Options, as Snakemake's parser names them, of calls that write nothing to the folder, and of calls that write even
# with --dry-run.
READING = ("dryrun", "nolock", "lint", "list_rules", "list_target_rules", "print_compilation", "dag", "rulegraph",
           "filegraph", "d3dag", "summary", "detailed_summary", "list_changes", "list_input_changes",
           "list_params_changes", "list_untracked", "list_conda_envs")  # fmt: skip
WRITING = ("unlock", "cleanup_metadata", "cleanup_shadow", "containerize")

_lock_files: list[IO[str]] = []  # a file that nothing refers to is closed, and its lock is gone


def is_read_only(arguments: Sequence[str]) -> bool:
    """Whether a call of Snakemake, its name first, writes nothing, by Snakemake's parser: `-np` is `--dry-run -p`."""
    from snakemake.cli import get_argument_parser

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # where argparse prints what it refuses
            options = get_argument_parser().parse_args([*arguments[1:]])
    except (Exception, SystemExit):  # the call did not come from Snakemake's command line
        return False
    asked = {name for name in (*READING, *WRITING) if getattr(options, name, None)}
    return bool(asked) and asked.isdisjoint(WRITING)


def take(arguments: Sequence[str], folder: Path = FOLDER) -> bool:
    """Lock this folder for as long as this process lives. Calls that write nothing take no lock.

    Deletes the locks of a Snakemake that was killed; returns whether there were any. Raises UserError if another call
    holds the lock.
    """
    if is_read_only(arguments):
        return False
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / "at-work").open("a+", encoding="utf-8")
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
    _lock_files.append(file)
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}{here}")
        file.flush()
        # On a shared file system another machine's process cannot be seen: its locks are left to the user.
        stale = [*(folder / "locks").glob("*.lock")] if before.endswith(here) else []
        if stale:
            shutil.rmtree(folder / "locks")
    except OSError:
        return False
    return bool(stale)
