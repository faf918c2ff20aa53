"""From records to the numbers of a table: means over seeds, with the paper's own numbers beside them. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..metrics import METRICS
from ..parts import Table
from ..paths import run_folder
from ..plan import Plan
from ..planning.validation import read_yaml
from ..records import record
from .published import find_published, published_value, read_published
from .soundness import FAULTS, faults
from .statistics import compare_with_paper

KEYS = ("panel", "group", "row", "column_group", "metric", "layer")  # of a cell within its table
JUDGED = ("half_unit", "difference", "tolerance", "reason", "verdict")
COLUMNS = (*KEYS, "spec_id", *FAULTS, "n", "mean", "sd", "paper", *JUDGED)


def read_records(plan: Plan, spec_ids: Iterable[str], runs: Path) -> list[record.Record]:
    """Records of all seeds of some specs. Raises UserError for a record that is missing or not to be trusted.

    Runs that are trained here must be measured by the present version of the measuring recipe; the archive's need not.
    """
    records = []
    for spec_id in spec_ids:
        for seed in plan.seeds_of(spec_id):
            path = run_folder(runs, spec_id, seed) / "record.json"
            records.append(record.read(path, spec_id, seed))
            if plan.runs is None:
                record.check_measuring(records[-1], path)
    return records


def columns(table: Table) -> list[tuple[str, str]]:
    """(metric, layer) of each column of a column_group, in order; the layer is empty where a metric has none."""
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
    spec_faults = faults(lines, plan, rules["health"])
    paper = read_published(published / table["reference"]) if table["reference"] else []
    cells = []
    for panel in table["panels"]:
        for group in panel["groups"]:
            for row in group["rows"]:
                for column_group in table["column_groups"]:
                    spec_id, settings = row["specs"][column_group], row["published"][column_group]
                    published_line = find_published(paper, settings, plan.row_defaults)
                    for metric, layer in columns(table):
                        value = values.get((spec_id, metric, layer), {"n": 0, "mean": math.nan, "sd": math.nan})
                        printed_value, half_unit = published_value(published_line, settings["dataset"], metric, layer)
                        cells.append(
                            {
                                "panel": panel["label"],
                                "group": group["label"],
                                "row": row["label"],
                                "column_group": column_group,
                                "metric": metric,
                                "layer": layer,
                                "spec_id": spec_id,
                                **{fault: spec_faults.get(spec_id, {}).get(fault, "") for fault in FAULTS},
                                "n": int(value["n"]),
                                "mean": value["mean"],
                                "sd": value["sd"],
                                "paper": printed_value,
                                "half_unit": half_unit,
                            }
                        )
    frame = pd.DataFrame(cells, columns=list(COLUMNS[: -len(JUDGED) + 1]))
    return compare_with_paper(frame, rules["paper"], plan.is_paper_scale)
