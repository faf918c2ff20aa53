"""The project's experiments, changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filter_sparsity.planning.build import merge


def changed(settings: dict[str, Any], folder: Path, changes: dict[str, str], count: int = -1) -> dict[str, Any]:
    """Settings that point at copies, in `folder`, of the files in which texts are replaced, `count` times each."""
    for old, new in changes.items():
        part, path = next((p, f) for p, f in settings["experiments"].items() if f and old in Path(f).read_text())
        copy = folder / f"{part}.yaml"
        copy.write_text(Path(path).read_text().replace(old, new, count))
        settings = merge(settings, {"experiments": {part: str(copy)}})
    return settings
