"""Paths of all files: one pure function or method for each kind of file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError

RESULTS = Path("results")
DATA = RESULTS / "data"
ORIGINAL = DATA / "original"  # datasets as their authors give them, unless `data_root` says where
REFERENCES = Path("report/references")
PUBLISHED = REFERENCES / "paper"  # the paper's tables
TOLERANCES = REFERENCES / "tolerances.yaml"

# What `train` leaves, the last one last.
TRAINED = ("weights.safetensors", "affine.safetensors", "history.csv", "silent.csv", "provenance.json")

COMPOSED = ("plain", "cluttered")  # <family>_<one of these> is a dataset composed of the family's renders


def prepared(dataset: str) -> Path:
    """Prepared data are the same at every scale."""
    return dataset_file(DATA, dataset)


def dataset_file(folder: Path, dataset: str) -> Path:
    """A prepared dataset below a folder of them."""
    return folder / f"{dataset}.safetensors"


def renders_of(dataset: str) -> str | None:
    """The family of renders that a dataset is composed of, if it is."""
    family, _, kind = dataset.rpartition("_")
    return family if family and kind in COMPOSED else None


def shrunk_from(dataset: str) -> tuple[str, int] | None:
    """The dataset that `<dataset>_<side>` has the images of, averaged to that side in pixels, and the side."""
    base, _, side = dataset.rpartition("_")
    return (base, int(side)) if base and side.isdecimal() else None


def rendered(family: str) -> Path:
    """Renders without backgrounds, the same at every scale."""
    return dataset_file(DATA / "renders", family)


def reference(scale: str, ending: str = "csv") -> Path:
    """What is stored of a scale's runs: their measurements (csv), provenance (json) and what figures draw (npz)."""
    return REFERENCES / "measured" / f"{scale}.{ending}"


def run_folder(runs: Path, spec_id: str, seed: int | str) -> Path:
    """The folder of a run below a folder of runs."""
    return runs / spec_id / f"seed{seed}"


def expand(path: str) -> str:
    """A path of a person's, with `~` and `$NAME` replaced; one that is there is taken as it is.

    Raises UserError for a home and for a variable that the system does not know.
    """
    try:
        home = str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise UserError(f"{path}: the system knows no home {path.split('/')[0]}: give the path in full") from None
    if Path(home).exists():
        return home
    full = os.path.expandvars(home)
    if unknown := re.search(r"\$([A-Za-z_]\w*|\{\w+\})", full):
        raise UserError(f"{path} is not there, and {unknown[0]} is not set: set it, or give the path in full")
    return full


def simulation_files(folder: Path, name: str) -> tuple[Path, Path]:
    """The curves and the half-lives of a simulated figure."""
    return folder / f"{name}.csv", folder / f"{name}_half_lives.csv"


@dataclass(frozen=True)
class ResultsFolder:
    """Where a plan's results lie: a folder in results/, and the name of each file in it."""

    path: Path

    @classmethod
    def of(cls, scale: str, records: str = "trained") -> ResultsFolder:
        """That of a scale whose records are `trained` here, or `stored` in the repository: they are never mixed."""
        return cls(RESULTS / (scale if records == "trained" else f"{scale}-{records}"))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    def run(self, spec_id: str, seed: int | str) -> Path:
        """The folder of a run."""
        return run_folder(self.runs, spec_id, seed)

    def table(self, name: str, ending: str) -> Path:
        return self.path / "tables" / f"{name}.{ending}"

    def figure(self, name: str, ending: str) -> Path:
        return self.path / "figures" / f"{name}.{ending}"

    @property
    def simulations(self) -> Path:
        return self.path / "simulations"

    def simulation(self, name: str) -> Path:
        return simulation_files(self.simulations, name)[0]

    def half_lives(self, name: str) -> Path:
        return simulation_files(self.simulations, name)[1]

    def log(self, job: str) -> Path:
        return self.path / "logs" / f"{job}.log"

    def check(self, ending: str) -> Path:
        """The comparison with the archive: every cell (csv), and their counts (json)."""
        return self.path / "check" / f"check.{ending}"

    def verdict(self, name: str) -> Path:
        """A file of the verdict: cells.csv, claims.csv, and the counts of both, verdict.json."""
        return self.path / "verdict" / name

    @property
    def sensitivity(self) -> Path:
        """How near each setting of the sensitivity analysis comes to the paper."""
        return self.path / "sensitivity.csv"

    def report(self, ending: str) -> Path:
        return self.path / f"report.{ending}"
