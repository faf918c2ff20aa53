"""An interpreter that has only the packages that a GPU machine is asked to have, in an environment that has more."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = ("torch", "numpy", "safetensors", "pandas")  # and what these need themselves

SITECUSTOMIZE = """
import sys
from importlib.metadata import packages_distributions

NAMES = {names!r}


class Refusing:
    def find_spec(self, name, path=None, target=None):
        owners = OWNERS.get(name.partition(".")[0], [])
        if owners and not any(owner.lower().replace("_", "-") in NAMES for owner in owners):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


OWNERS = packages_distributions()
del OWNERS["filter_sparsity"]  # it is found by PYTHONPATH
sys.meta_path.insert(0, Refusing())
"""


def closure(needed: Iterable[str] = NEEDED) -> set[str]:
    """Names of the needed distributions and of those that they require, as they are installed here."""
    found: set[str] = set()
    coming = list(needed)
    while coming:
        name = coming.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:  # of another system
            continue
        found.add(name)
        coming += [re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0] for line in lines if "extra ==" not in line]
    return found


def bare(folder: Path) -> dict[str, str]:
    """The environment variables of an interpreter in which every other package's import fails."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(names=closure()))
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT / 'src'}", "PYTHONDONTWRITEBYTECODE": "1"}
