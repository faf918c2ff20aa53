"""Arrays and their metadata in one safetensors file, written in pieces and checked when read. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import UserError
from ..files import atomic_write
from ..seal import Broken, digest

UNSEALED = 64 * "0"  # stands in the place of the digest while it is computed
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

    The file is the one that `safetensors.numpy.save_file` writes, but no array is copied whole, and a full disk raises
    OSError. The file appears whole or not at all.
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
    with atomic_write(path) as temporary:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                array = arrays[name]
                for start in range(0, len(array), CHUNK):
                    rows = slice(start, start + CHUNK)
                    file.write(array[orders[name][rows] if name in orders else rows].tobytes())
        sealed = digest(_parts(temporary, UNSEALED))
        with temporary.open("r+b") as file:
            file.seek(8 + text.index(UNSEALED.encode()))
            file.write(sealed.encode())


def _parts(path: Path, sealed: str) -> Iterator[bytes]:
    """A file's header, with zeros in place of its digest `sealed`, and what follows."""
    with path.open("rb") as file:
        text = file.read(int.from_bytes(file.read(8), "little"))
        yield text.replace(sealed.encode(), UNSEALED.encode(), 1)
        while content := file.read(1 << 20):
            yield content


@contextmanager
def reading(path: Path, kind: str, verb: str, refusal: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Yield the arrays of a file of this kind and its metadata.

    Raises UserError if the file is missing; or with `refusal` if it is damaged or of another kind, or if the block
    raises KeyError, TypeError or ValueError. The message names `verb`, which makes the file.
    """
    try:
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = json.loads(file.metadata()[kind])
            sealed = metadata.pop("seal", "")  # files of earlier versions have none
            if sealed and digest(_parts(path, sealed)) != sealed:
                raise Broken
        yield arrays, metadata
    except FileNotFoundError:
        raise UserError(f"{path} is not there: make it with `filter-sparsity {verb}`") from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} {refusal} ({error}): delete it and {verb} it again") from None
