"""Checkpoints: the state of an unfinished run, from which it resumes with the same bits.

They lie outside the run's folder, because Snakemake deletes what a failed job was to make.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .. import seal
from ..files import write_bytes

FOLDER = "checkpoints"  # beside the folder of runs
ENDING = ".checkpoint"
OLD_FOLDER, OLD_ENDING = "snapshots", ".snapshot"  # of earlier versions
KEPT = 2  # the newest and the one before, should the newest be damaged


class Checkpoints:
    """The checkpoints of one run, in their own folder. Those of another `identity` (spec, seed, data) are refused."""

    def __init__(self, folder: Path, identity: dict[str, Any], say: Callable[[str], None]) -> None:
        self.folder, self.identity, self.say = folder, identity, say

    def save(self, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Write a state, and delete all but the newest two. The file appears whole or not at all."""
        text = json.dumps({"identity": self.identity, "facts": facts})
        content = save(tensors, {"checkpoint": text})
        write_bytes(self.folder / f"{step:09d}{ENDING}", seal.seal_bytes(content))
        for old in self._newest_first()[KEPT:]:
            old.unlink()

    def newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest state that is undamaged and this run's. Others are reported and deleted."""
        for path in self._newest_first():
            try:
                return self._read(path)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                self.say(f"{path} is refused: {error}; the checkpoint before it is looked for")
                path.unlink()
        return None

    def _read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, text = _parsed(seal.open_bytes(path.read_bytes()))  # a safetensors file, sealed
        written = json.loads(text)
        if written["identity"] != self.identity:
            raise ValueError("it is another run's, or of other settings or data")
        return tensors, written["facts"]

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{ENDING}"), reverse=True)

    def clear(self) -> None:
        """Delete all, as the run is finished. Does nothing while another process trains it again."""
        with suppress(BlockingIOError, FileNotFoundError), (self.folder / "lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.folder, ignore_errors=True)
        _delete_empty(self.folder.parents[:2])

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Lock the run against other processes; waits for one that trains it. Yields whether it had to wait.

        A trainer can outlive a Snakemake that was killed. The system releases the lock when a process ends.
        """
        path, waited = self.folder / "lock", False
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self.say("another process is training this run: waiting for it")
                    waited = True
                    fcntl.flock(file, fcntl.LOCK_EX)
                if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    for part in self.folder.glob(".*.part"):  # of a process that was killed while it wrote
                        part.unlink()
                    self._take_over()
                    yield waited
                    return

    def _take_over(self) -> None:
        """Move this run's checkpoints of earlier versions, `snapshots/<spec>/seed<k>/*.snapshot`, to its folder."""
        old = self.folder.parents[1].with_name(OLD_FOLDER) / self.folder.parent.name / self.folder.name
        for path in old.glob(f"*{OLD_ENDING}"):
            path.rename(self.folder / f"{path.stem}{ENDING}")
        shutil.rmtree(old, ignore_errors=True)
        _delete_empty(old.parents[:2])


def _delete_empty(folders: Iterable[Path]) -> None:
    """Delete folders that hold nothing, as those of a spec and of all checkpoints when no run has any there."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _parsed(content: bytes) -> tuple[dict[str, Tensor], str]:
    """The tensors of a safetensors file, and the text that its metadata are, under whatever key."""
    size = int.from_bytes(content[:8], "little")
    [text] = json.loads(content[8 : 8 + size])["__metadata__"].values()
    return load(content), text
