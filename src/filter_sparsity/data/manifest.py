"""config/datasets.tsv: what is known of each dataset before it is there, and how to get it. Torch-free."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..paths import dataset_file


@dataclass(frozen=True)
class Dataset:
    """A line of config/datasets.tsv: a dataset."""

    name: str
    stands_for: str
    version: str
    classes: int
    train: int
    test: int
    channels: int
    side: int
    flip: bool
    access: str  # ships (in a package), downloaded (by us), by hand (by the user)
    source: str
    checksum: str  # of the archive
    bytes: str  # of the archive
    digest: str  # of the prepared content, where somebody has seen it
    local_names: str  # names below data_root, any of which means that the original data are there
    instructions: str  # what a user does to have it
    licence: str
    citation: str

    def found(self, root: Path) -> str:
        """The first of its names that is below the folder of original data; empty if there is none."""
        return next((name for name in self.local_names.split() if (root / name).exists()), "")


def read_datasets(path: Path) -> dict[str, Dataset]:
    try:
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path} is not a table: {error}") from None
    kinds: dict[str, Any] = dict.fromkeys(("classes", "train", "test", "channels", "side"), int)
    kinds["flip"] = {"yes": True, "no": False}.__getitem__
    try:
        return {line["name"]: Dataset(**{k: kinds.get(k, str)(v) for k, v in line.items()}) for line in lines}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: a line is not as its header says: {error}") from None


def listing(table: Path, root: Path, prepared: Path) -> Iterator[str]:
    """Lines that say of each dataset whether it is there, in the folder of original data or of prepared ones."""
    yield f"original data: {root}{'' if root.is_dir() else ', which is not there'}"
    for name, line in read_datasets(table).items():
        found = line.found(root)
        if dataset_file(prepared, name).exists():
            state = "prepared"
        elif line.access == "ships":
            state = "ships in a package"
        else:
            state = f"there: {root / found}" if found else f"missing: {line.instructions}"
        size = f"{int(line.bytes) / 1e6:,.0f} MB" if line.bytes else "-"
        yield f"{name}: {state}"
        yield f"    {line.train:,} + {line.test:,} images, {line.classes} classes, version {line.version}; {size}"
        yield f"    source: {line.source} {line.checksum}".rstrip()
        yield f"    licence: {line.licence}; cite: {line.citation}"
