"""Fresh records against stored ones: does the code still measure what it measured? Torch-free."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from . import records, stored
from .aggregate import read_records
from .errors import UserError
from .plan import Plan
from .validation import read_yaml

KEYS = ["spec_id", "metric", "layer"]


def compare(plan: Plan, runs: Path, reference: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every measurement of every spec: fresh and stored mean, their difference, tolerance and verdict.

    A spec of which fewer than two seeds are stored has no reference, since their spread is what fresh ones are judged
    by. The tolerance is `deviations` standard errors of the difference of two means of the seeds at hand, and `at
    least` what the tolerances file says. The deviation over seeds is the spec's own, or that of all specs together
    where it is larger: with few seeds a single one may be small by chance.
    """
    kept = records.over_seeds(stored.tidy(reference))
    kept = kept[kept["n"] > 1]
    rules = read_yaml(tolerances)["stored"]
    fresh = records.over_seeds(records.tidy(read_records(plan, plan.specs, runs)))
    both = fresh.merge(kept, on=KEYS, suffixes=("", "_stored"), how="left")
    pooled = kept.assign(variance=kept["sd"] ** 2).groupby(["metric", "layer"])["variance"].mean() ** 0.5
    lines = []
    for line in both.to_dict("records"):
        verdict, difference, tolerance = "no reference", math.nan, math.nan
        if not math.isnan(line["mean_stored"]):
            deviation = max(line["sd_stored"], pooled[line["metric"], line["layer"]])
            standard_error = deviation * math.sqrt(1 / line["n"] + 1 / line["n_stored"])
            tolerance = max(rules["deviations"] * standard_error, rules["at_least"][line["metric"]])
            difference = line["mean"] - line["mean_stored"]
            verdict = "agrees" if abs(difference) <= tolerance else "differs"
        lines.append({**line, "difference": difference, "tolerance": tolerance, "verdict": verdict})
    return pd.DataFrame(lines)


def as_json(frame: pd.DataFrame, scale: str) -> str:
    counts = frame["verdict"].value_counts()
    return (
        json.dumps(
            {
                "scale": scale,
                **{v.replace(" ", "_"): int(counts.get(v, 0)) for v in ("agrees", "differs", "no reference")},
                "cells": json.loads(frame.to_json(orient="records", double_precision=15)),
            },
            indent=1,
        )
        + "\n"
    )


def judge(path: Path) -> tuple[str, bool]:
    """The comparison as text for a person, and whether it is good: something was compared, and nothing differs."""
    try:
        data = json.loads(path.read_text())
        lines = list(_lines(data))
        return "\n".join(lines), data["agrees"] > 0 and data["differs"] == 0
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: delete it and compare again") from None


def _lines(data: dict[str, Any]) -> list[str]:
    frame = pd.DataFrame(data["cells"])
    counts = frame.groupby(["metric", "verdict"], sort=False).size().unstack(fill_value=0)
    lines = [f"scale {data['scale']}: fresh records against stored ones", "", counts.to_string(), ""]
    differing = frame[frame["verdict"] == "differs"]
    for cell in differing.to_dict("records"):
        lines.append(
            f"differs: {cell['spec_id']} {cell['metric']} {cell['layer'] or ''}: {cell['mean']:.4g} "
            f"against {cell['mean_stored']:.4g}, tolerance {cell['tolerance']:.2g}"
        )
    compared = data["agrees"] + data["differs"]
    lines.append(f"{data['agrees']} of {compared} cells agree; {data['no_reference']} have no reference")
    return lines
