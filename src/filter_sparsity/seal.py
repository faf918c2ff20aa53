"""Seals: the SHA-256 of what is stored, written beside it and checked when it is read.

| what | where its SHA-256 stands |
|---|---|
| plan, record | key `digest` of the JSON |
| a record's numbers in the archive's csv | key `digest` of its run in the archive's json |
| what a training wrote | `files_digest` of the run's provenance |
| prepared data, renders | metadata of the safetensors file; zeros stand there while it is computed |
| checkpoint | the first 32 bytes of the file |
| images of a data set | metadata of the prepared file, and `digest` in config/datasets.yaml, where it is known |
| settings of a spec | the first six digits end the spec's id |

The archives of data sets come with their authors' md5: see `data.sources.archives`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

LENGTH = 32  # bytes of a SHA-256
COMPACT = (",", ":")  # separators of the JSON that is digested
SPACED = (", ", ": ")  # the same, of plans


class Broken(ValueError):
    """What was read does not match its seal."""

    def __init__(self) -> None:
        super().__init__("it does not match its digest")


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of all parts, one after the other, as 64 hex digits."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part)
    return sha.hexdigest()


def digest_json(data: Any, separators: tuple[str, str] = COMPACT) -> str:
    """SHA-256 of data as JSON, whatever the order of their keys. Raises ValueError for NaN and infinity."""
    return digest([json.dumps(data, sort_keys=True, separators=separators, allow_nan=False).encode()])


def seal_json(data: Mapping[str, Any], separators: tuple[str, str] = COMPACT) -> dict[str, Any]:
    """The data with their digest."""
    return {**data, "digest": digest_json(data, separators)}


def open_json(sealed: dict[str, Any], separators: tuple[str, str] = COMPACT) -> dict[str, Any]:
    """The data without their digest. Raises Broken if they do not match it."""
    data = {key: value for key, value in sealed.items() if key != "digest"}
    if sealed.get("digest") != digest_json(data, separators):
        raise Broken
    return data


def seal_bytes(content: bytes) -> bytes:
    """The content after its digest."""
    return bytes.fromhex(digest([content])) + content


def open_bytes(sealed: bytes) -> bytes:
    """The content without its digest. Raises Broken if it does not match it."""
    content = sealed[LENGTH:]
    if bytes.fromhex(digest([content])) != sealed[:LENGTH]:
        raise Broken
    return content
