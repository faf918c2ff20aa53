"""config/datasets.yaml: what is known of each dataset before it is there, and how to get it. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from ..errors import UserError
from ..parts import Dataset
from ..paths import dataset_file


def read_datasets(path: Path) -> dict[str, Dataset]:
    """The datasets by name. Their values are as `planning.validation` says that they may be. Raises UserError."""
    try:
        return {
            name: Dataset(name=name, **entry)
            for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items()
        }
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except (AttributeError, TypeError) as error:
        raise UserError(f"{path} is not a file of datasets: {error}") from None


def listing(file: Path, root: Path, prepared: Path) -> Iterator[str]:
    """Lines that say of each dataset whether it is there, in the folder of original data or of prepared ones."""
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
