"""From records to the numbers of a table: means over seeds, with the paper's own numbers beside them. Torch-free."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from . import records
from .errors import UserError
from .paths import of_run
from .plan import Plan

LAYERED = ("sparsity_by_gamma", "sparsity_by_activation")  # metrics with a value per layer and a total
LOSSES = ("train_loss", "test_loss")  # printed as they are; everything else is printed in percent
COLUMNS = ("panel", "group", "row", "block", "metric", "layer", "spec_id", "n", "mean", "sd", "paper")


def read_records(plan: Plan, spec_ids: Iterable[str], runs: Path) -> list[dict[str, Any]]:
    """Records of all seeds of some specs. Raises UserError for a record that is missing or not to be trusted."""
    return [
        records.read(of_run(runs, spec_id, seed) / "record.json", spec_id, seed)
        for spec_id in spec_ids
        for seed in plan.seeds_of(spec_id)
    ]


def columns(table: dict[str, Any]) -> list[tuple[str, str]]:
    """(metric, layer) of each column of a block, in order; the layer is empty where a metric has none."""
    return [
        (metric, layer) for metric in table["metrics"] for layer in (table["layers"] if metric in LAYERED else [""])
    ]


def aggregate(plan: Plan, name: str, runs: Path, published: Path) -> pd.DataFrame:
    """A line for every cell of a table: n, mean and standard deviation over seeds, and the paper's value.

    Shares and errors are fractions, the paper's too. An empty `paper` is a cell that the paper does not print.
    """
    table = plan.table(name)
    lines = records.tidy(read_records(plan, plan.selected(name), runs))
    values = {(v["spec_id"], v["metric"], v["layer"]): v for v in records.over_seeds(lines).to_dict("records")}
    paper = read_published(published / table["reference"]) if table["reference"] else []
    cells = []
    for panel in table["panels"]:
        for group in panel["groups"]:
            for row in group["rows"]:
                for block in table["blocks"]:
                    spec_id, settings = row["specs"][block], row["published"][block]
                    printed = find_published(paper, settings, plan.usual)
                    for metric, layer in columns(table):
                        value = values[spec_id, metric, layer]
                        cells.append(
                            {
                                "panel": panel["label"],
                                "group": group["label"],
                                "row": row["label"],
                                "block": block,
                                "metric": metric,
                                "layer": layer,
                                "spec_id": spec_id,
                                "n": int(value["n"]),
                                "mean": value["mean"],
                                "sd": value["sd"],
                                "paper": published_value(printed, settings["dataset"], metric, layer),
                            }
                        )
    return pd.DataFrame(cells, columns=list(COLUMNS))


def read_published(path: Path) -> list[dict[str, str]]:
    """The lines of one of the paper's tables."""
    try:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def find_published(
    lines: list[dict[str, str]], settings: dict[str, Any], usual: dict[str, Any]
) -> dict[str, str] | None:
    """The line of the paper's table with these published settings, if there is one.

    A setting that the table does not print must be the usual one: a new row with another beta is not the paper's.
    Where a table has a column per dataset, its lines fit every dataset.
    """
    for line in lines:
        if all(
            _equal(line[key], value) if line.get(key) else key == "dataset" or value == usual[key]
            for key, value in settings.items()
        ):
            return line
    return None


def _equal(printed: str, value: Any) -> bool:
    return float(printed) == float(value) if isinstance(value, int | float) else printed == value


def published_value(line: dict[str, str] | None, dataset: str, metric: str, layer: str) -> float | None:
    """The paper's number for a cell, as a fraction unless it is a loss; None if it prints none."""
    if line is None:
        return None
    name = {"params_pruned": "conv_params_pruned", "sparsity_by_gamma": layer}.get(metric, metric)
    text = line.get(f"{dataset}_{metric}") or line.get(name)
    if not text:
        return None
    return float(text) if metric in LOSSES else float(text) / 100
