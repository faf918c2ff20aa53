"""One Snakemake at a time in a folder, and no lock left behind by one that was killed. Torch-free: the Snakefile's.

Snakemake notes in .snakemake/locks which files it is about; a killed one leaves the notes there, and two that start or
end at once trip over them. So whoever works in a folder first locks a file beside them. The system lets go of that lock
when the process ends, however it ends, and jobs do not inherit it.
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
LOOKS = ("dryrun", "nolock", "lint", "list_rules", "list_target_rules", "print_compilation", "dag", "rulegraph",
         "filegraph", "d3dag", "summary", "detailed_summary", "list_changes", "list_input_changes",
         "list_params_changes", "list_untracked", "list_conda_envs")  # fmt: skip
WRITES = ("unlock", "cleanup_metadata", "cleanup_shadow", "containerize")

_held: list[IO[str]] = []  # a file that nothing refers to is closed, and its lock is gone


def only_looks(arguments: Sequence[str]) -> bool:
    """Whether a call of Snakemake, its name first, writes nothing. Its own parser tells: `-np` is `--dry-run -p`."""
    from snakemake.cli import get_argument_parser

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # where argparse prints what it refuses
            options = get_argument_parser().parse_args([*arguments[1:]])
    except (Exception, SystemExit):  # the call did not come from Snakemake's command line
        return False
    asked = {name for name in (*LOOKS, *WRITES) if getattr(options, name, None)}
    return bool(asked) and asked.isdisjoint(WRITES)


def take(arguments: Sequence[str], folder: Path = FOLDER) -> bool:
    """Keep other calls from writing in this folder as long as this process lives; calls that only look take no lock.

    Deletes the locks of a Snakemake that was killed; returns whether there were any. Raises UserError if another call
    is at work.
    """
    if only_looks(arguments):
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
