"""Records: one run's measurements as stored, sealed by a digest of their content. Torch-free."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from .. import seal
from ..errors import UserError
from ..metrics import MEASURING
from ..paths import TRAINED

if TYPE_CHECKING:
    import pandas as pd


Json = dict[str, Any]  # content of a JSON file that its reader has not checked key by key
Measured = dict[str, float | dict[str, float]]  # by metric: a number, or numbers by layer; shares in [0, 1]


class Record(TypedDict):
    """One run's measurements, with its settings and where they come from."""

    spec_id: str
    seed: int
    spec: Json  # as `Spec.to_dict` gives it
    provenance: Json
    measured: Measured


def measuring_version(origin: Mapping[str, Any]) -> int:
    """The version of the measuring recipe by which a run of this provenance was measured; 1 if it has none."""
    return origin.get("measuring", 1)


def check_measuring(record: Record, path: Path) -> None:
    """Raise UserError if the record was measured by another version of the measuring recipe than this code has."""
    origin = record.get("provenance", {})
    if not isinstance(origin, Mapping):
        raise UserError(f"{path} is not a whole record: delete it and extract the run again")
    if (version := measuring_version(origin)) != MEASURING:
        raise UserError(
            f"{path} was measured by version {version} of the measuring recipe, and this code has {MEASURING}: "
            "measure the run again, as docs/measures.md says"
        )


def sealed(record: Record) -> str:
    """The record as text, with its digest. Raises ValueError for a number that is NaN or infinite."""
    return json.dumps(seal.seal_json(record), indent=1) + "\n"


def _refuse(constant: str) -> None:
    """JSON has no NaN, but Python reads it."""
    raise ValueError(constant)


def _load(path: Path, again: str) -> Json:
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise UserError(f"{path} is not there: {again}") from None
    except ValueError:
        raise UserError(f"{path} is cut short or damaged: delete it and {again}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is not what it should be: delete it and {again}")
    return data


def read(path: Path, spec_id: str, seed: int) -> Record:
    """The record of a run. Raises UserError if it is missing, damaged, changed since, or another run's."""
    try:
        record = seal.open_json(_load(path, "extract the run again"))
    except ValueError:
        raise UserError(
            f"{path} does not match its digest: it was changed since it was made; delete it and extract the run again"
        ) from None
    who = record.get("spec_id"), record.get("seed")
    if who != (spec_id, seed):
        raise UserError(
            f"{path} is the record of {who[0]} seed {who[1]}, not of {spec_id} seed {seed}: "
            "delete it and extract the run again"
        )
    if not _is_measured(record.get("measured")):
        raise UserError(f"{path} does not hold measurements: delete it and extract the run again")
    return cast(Record, record)


def _is_measured(measured: Any) -> bool:
    """Whether it is a mapping of metrics to numbers, or to mappings of layers to numbers."""
    if not isinstance(measured, dict):
        return False
    numbers = [n for v in measured.values() for n in (v.values() if isinstance(v, dict) else [v])]
    return all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)


def read_provenance(path: Path, spec_id: str, seed: int) -> Json:
    """Where a run comes from. Raises UserError if the file is damaged or another run's."""
    origin = _load(path, "train the run again")
    if (origin.get("spec_id"), origin.get("seed")) != (spec_id, seed):
        raise UserError(f"{path} is not of {spec_id} seed {seed}: delete its folder and train the run again")
    return origin


def files_digest(folder: Path) -> str:
    """SHA-256 of what a training wrote, but for where it comes from, which has this digest in it."""
    return seal.digest((folder / name).read_bytes() for name in TRAINED[:-1])


def as_text(value: float) -> str:
    """A number of features.csv: 7 digits, or empty for NaN."""
    return "" if math.isnan(value) else f"{value:.7g}"


def as_csv(lines: Sequence[Mapping[str, Any]]) -> str:
    """Lines of equal keys as CSV, the keys first."""
    table = io.StringIO()
    writer = csv.DictWriter(table, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return table.getvalue()


def read_lines(path: Path) -> list[dict[str, float]]:
    """The lines of history.csv, epoch by epoch, or of silent.csv: early, and at the end."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [{k: float(v) for k, v in line.items()} for line in csv.DictReader(file)]
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete its folder and train the run again") from None
    if not lines:
        raise UserError(f"{path} is empty: delete its folder and train the run again")
    return lines


def read_affine(path: Path) -> dict[str, np.ndarray]:
    """Gammas and betas over the steps: `step` (points,), `gamma_C1`, `beta_C1`, ... (points, filters).

    Of a run whose every step was counted also `l2_dominates_C1`, ... (filters,): the share of steps in which L2
    outweighed gamma's gradient. Runs of earlier versions, restored ones and those without L2 have none.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete its folder and train the run again") from None


def read_features(path: Path) -> pd.DataFrame:
    """A line for every feature of a run: layer, filter, gamma, beta, largest_activation, universality, l2_dominates.

    The last is NaN where it was not counted; runs that were measured by earlier versions have no such column.
    """
    import pandas as pd  # a third of a second, which measuring a run needs not spend

    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it and extract the run again") from None


def tidy(records: list[Record]) -> pd.DataFrame:
    """All measurements of records: a line per spec_id, seed, metric and layer (empty for what has no layers), value."""
    lines = []
    for record in records:
        for metric, value in record["measured"].items():
            values = value if isinstance(value, dict) else {"": value}
            for layer, number in values.items():
                lines.append((record["spec_id"], record["seed"], metric, layer, number))
    import pandas as pd

    return pd.DataFrame(lines, columns=["spec_id", "seed", "metric", "layer", "value"]).astype({"value": float})


def over_seeds(lines: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n - 1) and n over the seeds of a tidy frame; the deviation of one seed is empty."""
    grouped = lines.groupby(["spec_id", "metric", "layer"], sort=False)["value"]
    return grouped.agg(mean="mean", sd="std", n="count").reset_index()
