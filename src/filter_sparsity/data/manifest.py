"""config/datasets.yaml: sizes, source, licence and access of each dataset. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..errors import UserError
from ..paths import dataset_file


@dataclass(frozen=True)
class Dataset:
    """An entry of config/datasets.yaml: a dataset."""

    name: str
    version: str
    classes: int
    train: int
    test: int
    channels: int
    side: int
    flip: bool
    access: str  # ships (in a package), downloaded (by us), manual (got by the user)
    instructions: str  # what a user does to have it
    source: str
    licence: str
    citation: str
    stands_for: str = ""
    local_names: list[str] = field(default_factory=list)  # any below data_root: the original data are there
    checksum: str = ""  # of the archive
    bytes: int | None = None  # of the archive
    digest: str = ""  # of the prepared content, where somebody has seen it

    def found(self, root: Path) -> str:
        """The first of its `local_names` below the folder of original data; empty if there is none."""
        return next((name for name in self.local_names if (root / name).exists()), "")


def read_datasets(path: Path) -> dict[str, Dataset]:
    """The datasets by name. Raises UserError; `planning.validation` checks the values."""
    try:
        return {name: Dataset(name=name, **entry) for name, entry in yaml.safe_load(path.read_text()).items()}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except (AttributeError, TypeError) as error:
        raise UserError(f"{path} is not a file of datasets: {error}") from None


def listing(file: Path, root: Path, prepared: Path) -> Iterator[str]:
    """Lines for the console: whether each dataset is available, as original or prepared data, or how to get it."""
    yield f"original data: {root}{'' if root.is_dir() else ', which is not there'}"
    for name, line in read_datasets(file).items():
        found = line.found(root)
        if dataset_file(prepared, name).exists():
            state = "prepared"
        elif line.access == "ships":
            state = "ships in a package"
        else:
            state = f"there: {root / found}" if found else f"missing: {line.instructions}"
        size = f"{line.bytes / 1e6:,.0f} MB" if line.bytes else "-"
        yield f"{name}: {state}"
        yield f"    {line.train:,} + {line.test:,} images, {line.classes} classes, version {line.version}; {size}"
        yield f"    source: {line.source} {line.checksum}".rstrip()
        yield f"    licence: {line.licence}; cite: {line.citation}"
