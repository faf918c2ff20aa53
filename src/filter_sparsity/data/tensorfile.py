"""Arrays and what describes them in one safetensors file: written piece by piece, read whole or refused. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import UserError
from ..files import atomic_write

UNSEALED = 64 * "0"  # what stands for the SHA-256 of the file until it is known
CHUNK = 1000  # rows that are written at once
DTYPES = {np.dtype(np.int64): "I64", np.dtype(np.uint8): "U8"}


def write(
    path: Path,
    kind: str,
    metadata: dict[str, Any],
    arrays: dict[str, np.ndarray],
    orders: dict[str, np.ndarray] | None = None,
) -> None:
    """Store arrays of int64 and uint8, the rows of some in another order, and `metadata` as JSON under the key `kind`.

    It is the file that `safetensors.numpy.save_file` would write, but no array is copied whole, and a disk that is full
    raises OSError. The file is there whole or not at all.
    """
    orders = orders or {}
    metadata = {**metadata, "seal": UNSEALED}
    # One entry of metadata, since safetensors writes several in random order. Wider numbers come first in such a file.
    header: dict[str, Any] = {"__metadata__": {kind: json.dumps(metadata)}}
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    end = 0
    for name in names:
        array = arrays[name]
        offsets = (end, end := end + array.nbytes)
        header[name] = {"dtype": DTYPES[array.dtype], "shape": array.shape, "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        seal = hashlib.sha256(text)
        for name in names:
            array = arrays[name]
            for start in range(0, len(array), CHUNK):
                rows = slice(start, start + CHUNK)
                content = array[orders[name][rows] if name in orders else rows].tobytes()
                seal.update(content)
                file.write(content)
        file.seek(8 + text.index(UNSEALED.encode()))
        file.write(seal.hexdigest().encode())


def _seal(path: Path, seal: str) -> str:
    """The SHA-256 of a file in which it is not known yet; empty, and not looked for, where there is no seal."""
    if not seal:  # of an earlier version
        return ""
    with path.open("rb") as file:
        text = file.read(int.from_bytes(file.read(8), "little"))
        sha = hashlib.sha256(text.replace(seal.encode(), UNSEALED.encode(), 1))
        while content := file.read(1 << 20):
            sha.update(content)
    return sha.hexdigest()


@contextmanager
def reading(path: Path, kind: str, verb: str, refusal: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """The arrays of such a file and its metadata.

    Raises UserError if the file is not there, or with `refusal` if it is not such a file or the block misses something
    in it. `verb` makes it (again).
    """
    try:
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = json.loads(file.metadata()[kind])
            if _seal(path, seal := metadata.pop("seal", "")) != seal:
                raise ValueError("it does not match its digest")
        yield arrays, metadata
    except FileNotFoundError:
        raise UserError(f"{path} is not there: make it with `filter-sparsity {verb}`") from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} {refusal} ({error}): delete it and {verb} it again") from None
