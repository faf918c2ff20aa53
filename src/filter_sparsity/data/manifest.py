"""What is known of each dataset before it is there, and how to get it. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..parts import Dataset
from ..paths import dataset_file
from .sources import originals


def listing(datasets: Mapping[str, Dataset], root: Path, prepared: Path) -> Iterator[str]:
    """Lines that say of each dataset whether it is there, in the folder of original data or of prepared ones."""
    yield f"original data: {root}{'' if root.is_dir() else ', which is not there'}"
    for name, line in datasets.items():
        found = originals.find(line, root)
        if dataset_file(prepared, name).exists():
            state = "prepared"
        elif line.access == "ships":
            state = "ships in a package"
        else:
            state = f"there: {found}" if found else f"missing: {line.instructions}"
        size = f"{line.bytes / 1e6:,.0f} MB" if line.bytes else "-"
        yield f"{name}: {state}"
        yield f"    {line.train:,} + {line.test:,} images, {line.classes} classes, version {line.version}; {size}"
        yield f"    source: {line.source} {line.checksum}".rstrip()
        yield f"    licence: {line.licence}; cite: {line.citation}"
