"""Assumed facts, one varied at a time: which brings the layers' sparsities nearest to the paper's. Torch-free.

The first row of a group is as assumed, each other row has another value of one fact. A run's distance is the mean
absolute difference of its layers' sparsities to those that the paper prints. What a row changes is taken seed by seed
against the first row, with the interval that claims have: the row is `closer` or `farther` if the whole interval of
the distance's change says so, and `undecided` else. This ranks suspects; away from the paper's scale it decides nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from . import stored
from .aggregate import find_published, published_value, read_published
from .claims import interval
from .plan import Plan

METRIC = "sparsity_by_gamma"
CHANGES = ("more", "nearer")  # of the total sparsity, and of the distance, against the group's first row


def compare(plan: Plan, name: str, reference: Path, published: Path) -> pd.DataFrame:
    """A line for each row of the table: means and deviations over its seeds, its changes, its verdict and its rank.

    Shares are fractions. `<layer>`, `total` and `test_error` are means, `..._sd` their deviations, `..._paper` the
    paper's. `more` is the change of the total sparsity, `nearer` that of the distance (negative: nearer to the paper),
    each with its interval `..._low`, `..._high`. Rows without stored runs have n = 0, and no rank.
    """
    table = plan.table(name)
    lines = stored.tidy(reference) if any((plan.runs or {}).values()) else pd.DataFrame(columns=stored.COLUMNS)
    paper = read_published(published / table["reference"])
    groups = [group for panel in table["panels"] for group in panel["groups"]]
    return pd.concat([_group(plan, group, table["layers"], lines, paper) for group in groups], ignore_index=True)


def _group(
    plan: Plan, group: dict[str, Any], layers: list[str], lines: pd.DataFrame, paper: list[dict[str, str]]
) -> pd.DataFrame:
    found = []
    for row in group["rows"]:
        (spec_id,) = row["specs"].values()
        (settings,) = row["published"].values()
        printed = find_published(paper, settings, plan.usual)
        told = pd.Series({layer: published_value(printed, settings["dataset"], METRIC, layer)[0] for layer in layers})
        own = lines[lines["spec_id"] == spec_id]
        values = (
            own[own["metric"] == METRIC].pivot(index="seed", columns="layer", values="value").reindex(columns=layers)
        )
        errors = own[own["metric"] == "test_error"].set_index("seed")["value"]
        told["test_error"] = published_value(printed, settings["dataset"], "test_error", "")[0]
        found.append({"row": row["label"], "values": values, "told": told, "errors": errors})
    base = found[0]
    before = distance(base["values"], base["told"])
    told_rows = []
    for row in found:
        values, apart = row["values"], distance(row["values"], row["told"])
        line = {"group": group["label"], "row": row["row"], "n": len(values)}
        for key, own in {**{k: values[k] for k in layers}, "test_error": row["errors"], "distance": apart}.items():
            line |= {key: own.mean(), f"{key}_sd": own.std()}
        line |= {f"{key}_paper": value for key, value in row["told"].items()}
        if row is not base:
            pairs = (values["total"] - base["values"]["total"], apart - before)
            for key, own in zip(CHANGES, pairs, strict=True):
                mean, low, high, _ = interval(own.dropna())
                line |= {key: mean, f"{key}_low": low, f"{key}_high": high}
            line["verdict"] = verdict(len(values), line["nearer_low"], line["nearer_high"])
        told_rows.append(line)
    return pd.DataFrame(told_rows).assign(rank=lambda frame: frame["distance"].rank(method="min"))


def distance(values: pd.DataFrame, told: pd.Series) -> pd.Series:
    """Of each seed (a row of layers' sparsities) the mean absolute difference to the paper's, over the layers."""
    layers = [layer for layer in values if layer != "total"]
    return (values[layers] - told[layers]).abs().mean(axis=1)


def verdict(n: int, low: float, high: float) -> str:
    """What the interval of a change of distance says; fewer than two seeds say nothing."""
    return "not measured" if n == 0 else "closer" if high < 0 else "farther" if low > 0 else "undecided"
