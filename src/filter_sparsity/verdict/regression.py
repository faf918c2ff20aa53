"""Fresh records against stored ones: does the code still measure what it measured? Torch-free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from ..errors import UserError
from ..metrics import MEASURING
from ..plan import Plan
from ..planning.validation import read_yaml
from ..records import archive, record
from .aggregate import read_records
from .statistics import covers_all_shares, expected_deviations
from .verdicts import CheckVerdict

KEYS = ["spec_id", "metric", "layer"]
ALL = "all specs"


class Check(TypedDict):
    """The content of check.json: how many cells have which verdict, and all of them."""

    scale: str
    agrees: int
    differs: int
    cannot_tell: int
    no_reference: int
    cells: list[dict[str, object]]


def compare(plan: Plan, runs: Path, reference: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every measurement of every spec: fresh and stored mean, their difference, tolerance and verdict.

    A spec with fewer than two stored seeds has no reference, since the spread of stored seeds sets the tolerance: it is
    `deviations` standard errors of the difference of two means (`statistics.expected_deviations`), and at least what
    the tolerances file says under `at_least`. Last come lines of all specs together (`_all_specs`). A share that would
    agree at any value is not counted as agreeing: it `cannot tell`.
    """
    if plan.runs is not None:
        raise UserError("these are the stored records themselves: there is nothing fresh to compare with them")
    kept = record.over_seeds(archive.tidy(reference))
    version = archive.measuring_version(archive.index(reference.with_suffix(".json")))
    if version != MEASURING:
        raise UserError(
            f"{reference} was measured by version {version} of the measuring recipe, and this code has {MEASURING}: "
            "there is nothing to compare with until runs of this version are stored"
        )
    kept = kept[kept["n"] > 1]
    rules = read_yaml(tolerances)["stored"]
    fresh = record.over_seeds(record.tidy(read_records(plan, plan.specs, runs)))
    if unknown := {*fresh["metric"]} - {*rules["at_least"]}:
        raise UserError(f"{tolerances} does not say the least tolerance of {' and '.join(sorted(unknown))}")
    kept = kept.assign(deviation=expected_deviations(kept, rules["edge"]))
    lines = fresh.merge(kept, on=KEYS, suffixes=("", "_stored"), how="left")
    standard_error = lines["deviation"] * np.sqrt(1 / lines["n"] + 1 / lines["n_stored"])
    least = lines["metric"].map(rules["at_least"])
    lines["difference"] = lines["mean"] - lines["mean_stored"]
    lines["tolerance"] = np.maximum(rules["deviations"] * standard_error, least)
    lines = pd.concat([lines, _all_specs(lines)], ignore_index=True)
    verdicts = {
        CheckVerdict.NO_REFERENCE: lines["mean_stored"].isna(),
        CheckVerdict.DIFFERS: lines["difference"].abs() > lines["tolerance"],
        CheckVerdict.CANNOT_TELL: covers_all_shares(lines["metric"], lines["mean_stored"], lines["tolerance"]),
    }
    lines["verdict"] = np.select([*verdicts.values()], [*verdicts], CheckVerdict.AGREES)
    return lines


def _all_specs(lines: pd.DataFrame) -> pd.DataFrame:
    """Of each metric and layer that specs share, the mean over them; n are runs. Tolerances add as standard errors do.

    A cell of few features and seeds shows only a large change. The mean of many such cells shows a small one, if it is
    in all of them, as a change of what is measured would be.
    """
    grouped = lines[lines["mean_stored"].notna()].groupby(["metric", "layer"], sort=False)
    found = grouped[["mean", "mean_stored", "difference"]].mean()
    found[["n", "n_stored"]] = grouped[["n", "n_stored"]].sum()
    found["tolerance"] = np.sqrt(grouped["tolerance"].agg(lambda each: (each**2).sum())) / grouped.size()
    return found[grouped.size() > 1].reset_index().assign(spec_id=ALL)


def as_json(frame: pd.DataFrame, scale: str) -> str:
    counts = frame["verdict"].value_counts()
    return (
        json.dumps(
            {
                "scale": scale,
                **{verdict.replace(" ", "_"): int(counts.get(verdict, 0)) for verdict in CheckVerdict},
                "cells": json.loads(frame.to_json(orient="records", double_precision=15)),
            },
            indent=1,
        )
        + "\n"
    )


def check(path: Path) -> tuple[str, bool]:
    """The comparison as text for a person, and whether it is good: something was compared, and nothing differs."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        lines = list(_lines(data))
        return "\n".join(lines), data["agrees"] > 0 and data["differs"] == 0
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: delete it and compare again") from None


def _lines(data: Check) -> list[str]:
    frame = pd.DataFrame(data["cells"])
    counts = frame.groupby(["metric", "verdict"], sort=False).size().unstack(fill_value=0)
    lines = [f"scale {data['scale']}: fresh records against stored ones", "", counts.to_string(), ""]
    differing = frame[frame["verdict"] == CheckVerdict.DIFFERS]
    for cell in differing.to_dict("records"):
        lines.append(
            f"differs: {cell['spec_id']} {cell['metric']} {cell['layer'] or ''}: {cell['mean']:.4g} "
            f"against {cell['mean_stored']:.4g}, tolerance {cell['tolerance']:.2g}"
        )
    compared = data["agrees"] + data["differs"] + data["cannot_tell"]
    lines.append(
        f"{data['agrees']:,} of {compared:,} cells agree, {data['cannot_tell']:,} cannot tell; "
        f"{data['no_reference']:,} have no reference"
    )
    return lines
