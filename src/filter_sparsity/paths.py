"""Where everything stands: one pure function or method per artefact."""

from __future__ import annotations

from pathlib import Path

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
    return of_data(DATA, dataset)


def of_data(folder: Path, dataset: str) -> Path:
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
    return of_data(DATA / "renders", family)


def plan(scale: str) -> Path:
    return RESULTS / scale / "plan.json"


def runs(scale: str) -> Path:
    return RESULTS / scale / "runs"


def run(scale: str, spec_id: str, seed: int | str) -> Path:
    return of_run(runs(scale), spec_id, seed)


def of_run(runs: Path, spec_id: str, seed: int | str) -> Path:
    """The folder of a run below a folder of runs."""
    return runs / spec_id / f"seed{seed}"


def table(scale: str, name: str, ending: str) -> Path:
    return RESULTS / scale / "tables" / f"{name}.{ending}"


def figure(scale: str, name: str, ending: str) -> Path:
    return RESULTS / scale / "figures" / f"{name}.{ending}"


def simulation(scale: str, name: str) -> Path:
    return RESULTS / scale / "simulations" / f"{name}.csv"


def log(scale: str, job: str) -> Path:
    return RESULTS / scale / "logs" / f"{job}.log"


def check(scale: str, ending: str) -> Path:
    return RESULTS / scale / "check" / f"check.{ending}"


def verdict(scale: str, name: str) -> Path:
    """cells.csv, claims.csv, and the counts of both: verdict.json."""
    return RESULTS / scale / "verdict" / name


def sensitivity(scale: str) -> Path:
    """How near each varied fact comes to the paper."""
    return RESULTS / scale / "sensitivity.csv"


def reference(scale: str, ending: str = "csv") -> Path:
    """What is stored of a scale's runs: their measurements (csv), provenance (json) and what figures draw (npz)."""
    return REFERENCES / "measured" / f"{scale}.{ending}"


def home(scale: str, records: str) -> str:
    """The folder in results/ of a scale whose records are `trained` here, or `stored` ones: they are never mixed."""
    return scale if records == "trained" else f"{scale}-{records}"


def report(scale: str, ending: str) -> Path:
    return RESULTS / scale / f"report.{ending}"
