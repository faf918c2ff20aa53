"""From records to the numbers of a table: means over seeds, with the paper's own numbers beside them. Torch-free."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError
from ..metrics import METRICS
from ..parts import Table
from ..paths import run_folder
from ..plan import Plan
from ..planning.validation import read_yaml
from ..records import record
from .soundness import FAULTS, faults

KEYS = ("panel", "group", "row", "block", "metric", "layer")  # of a cell within its table
JUDGED = ("half_unit", "difference", "tolerance", "reason", "verdict")
COLUMNS = (*KEYS, "spec_id", *FAULTS, "n", "mean", "sd", "paper", *JUDGED)


def read_records(plan: Plan, spec_ids: Iterable[str], runs: Path) -> list[dict[str, Any]]:
    """Records of all seeds of some specs. Raises UserError for a record that is missing or not to be trusted."""
    return [
        record.read(run_folder(runs, spec_id, seed) / "record.json", spec_id, seed)
        for spec_id in spec_ids
        for seed in plan.seeds_of(spec_id)
    ]


def columns(table: Table) -> list[tuple[str, str]]:
    """(metric, layer) of each column of a block, in order; the layer is empty where a metric has none."""
    return [
        (name, layer) for name in table["metrics"] for layer in (table["layers"] if METRICS[name].by_layer else [""])
    ]


def aggregate(plan: Plan, name: str, runs: Path, published: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every cell of a table: n, mean and deviation over seeds, the paper's value, and the verdict on both.

    Shares and errors are fractions, the paper's too. `silent` and `unlearned` are the faults of the cell's spec in
    words, empty if it has none (`soundness.faults`). An empty `paper` is a cell that the paper does not print; n is 0,
    and the mean empty, where no run is there.
    """
    table, rules = plan.table(name), read_yaml(tolerances)
    lines = record.tidy(read_records(plan, plan.selected(name), runs))
    values = {(v["spec_id"], v["metric"], v["layer"]): v for v in record.over_seeds(lines).to_dict("records")}
    unsound = faults(lines, plan, rules["health"])
    paper = read_published(published / table["reference"]) if table["reference"] else []
    cells = []
    for panel in table["panels"]:
        for group in panel["groups"]:
            for row in group["rows"]:
                for block in table["column_groups"]:
                    spec_id, settings = row["specs"][block], row["published"][block]
                    printed = find_published(paper, settings, plan.row_defaults)
                    for metric, layer in columns(table):
                        value = values.get((spec_id, metric, layer), {"n": 0, "mean": math.nan, "sd": math.nan})
                        told, half = published_value(printed, settings["dataset"], metric, layer)
                        cells.append(
                            {
                                "panel": panel["label"],
                                "group": group["label"],
                                "row": row["label"],
                                "block": block,
                                "metric": metric,
                                "layer": layer,
                                "spec_id": spec_id,
                                **{fault: unsound.get(spec_id, {}).get(fault, "") for fault in FAULTS},
                                "n": int(value["n"]),
                                "mean": value["mean"],
                                "sd": value["sd"],
                                "paper": told,
                                "half_unit": half,
                            }
                        )
    frame = pd.DataFrame(cells, columns=list(COLUMNS[: -len(JUDGED) + 1]))
    return judge(frame, rules["paper"], plan.is_paper_scale)


def judge(cells: pd.DataFrame, rules: dict[str, Any], is_paper_scale: bool) -> pd.DataFrame:
    """Cells with the difference to the paper's value, the tolerance and its reason, and the verdict.

    The tolerance is half a unit of the last printed digit, and `deviations` standard errors of the difference between
    our mean of n runs and the paper's of `seeds`. Both are taken to spread as our seeds do: as those of this row, or as
    all rows of the column together where that is more, since a few seeds may be alike by chance. Verdicts: `agrees`,
    `differs`; `undecided` where it is off by more than rounding and no row has two seeds to tell the spread by;
    `not measured`; `not comparable` if not `is_paper_scale`. Empty where nothing is printed.
    """
    pooled = cells.assign(v=cells["sd"] ** 2).groupby(["block", "metric", "layer"])["v"].transform("mean") ** 0.5
    deviation = cells["sd"].fillna(0).clip(lower=pooled.fillna(0))
    known = pooled.notna()
    errors = rules["deviations"] * deviation * (1 / cells["n"].clip(lower=1) + 1 / rules["seeds"]) ** 0.5
    difference = cells["mean"] - cells["paper"]
    tolerance = (cells["half_unit"] + errors.where(known, 0)).where(cells["mean"].notna())
    within = difference.abs() <= tolerance + 1e-9  # a printed 0.125 is not exactly that
    verdict = pd.Series("differs", cells.index).mask(~known, "undecided").mask(within, "agrees")
    if not is_paper_scale:
        verdict[:] = "not comparable"
    verdict = verdict.mask(cells["n"] == 0, "not measured").mask(cells["paper"].isna(), "")
    reason = pd.Series("rounding only: one seed tells no spread", cells.index)
    reason = reason.mask(known, f"rounding and {rules['deviations']} standard errors")
    return cells.assign(
        difference=difference, tolerance=tolerance, reason=reason.where(tolerance.notna(), ""), verdict=verdict
    )


def read_published(path: Path) -> list[dict[str, str]]:
    """The lines of one of the paper's tables."""
    try:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def find_published(
    lines: list[dict[str, str]], settings: Mapping[str, object], row_defaults: Mapping[str, object]
) -> dict[str, str] | None:
    """The line of the paper's table with these published settings, if there is one.

    A setting that the table does not print must be a row's default: a new row with another beta is not the paper's.
    Where a table has a column per dataset, its lines fit every dataset.
    """
    for line in lines:
        if all(
            _equal(line[key], value) if line.get(key) else key == "dataset" or value == row_defaults.get(key)
            for key, value in settings.items()
        ):
            return line
    return None


def _equal(printed: str, value: object) -> bool:
    return float(printed) == float(value) if isinstance(value, int | float) else printed == value


def published_value(line: dict[str, str] | None, dataset: str, metric: str, layer: str) -> tuple[float, float]:
    """The paper's number for a cell, as a fraction if it is a share, and half a unit of its last printed digit.

    Both are NaN if it prints none.
    """
    columns = [column.format(dataset=dataset, layer=layer) for column in METRICS[metric].published]
    text = line and next((line[column] for column in columns if line.get(column)), "")
    if not text:
        return math.nan, math.nan
    unit = 10.0 ** -len(text.partition(".")[2])
    factor = METRICS[metric].factor
    return float(text) / factor, unit / 2 / factor
