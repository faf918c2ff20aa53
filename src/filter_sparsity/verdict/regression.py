"""Fresh records against stored ones: does the code still measure what it measured? Torch-free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UserError
from ..metrics import unbounded_metrics
from ..plan import Plan
from ..planning.validation import read_yaml
from ..records import archive, record
from .aggregate import read_records

KEYS = ["spec_id", "metric", "layer"]
VERDICTS = ("agrees", "differs", "cannot fail", "no reference")
ALL = "all specs"


def compare(plan: Plan, runs: Path, reference: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every measurement of every spec: fresh and stored mean, their difference, tolerance and verdict.

    A spec of which fewer than two seeds are stored has no reference, since their spread is what fresh ones are judged
    by. The tolerance is `deviations` standard errors of the difference of two means of the seeds at hand (their
    deviation: `_deviations`), and `at least` what the tolerances file says. Last come lines of all specs together
    (`_together`). A share that would have agreed whatever it were `cannot fail`: it says nothing.
    """
    if plan.runs is not None:
        raise UserError("these are the stored records themselves: there is nothing fresh to compare with them")
    kept = record.over_seeds(archive.tidy(reference))
    kept = kept[kept["n"] > 1]
    rules = read_yaml(tolerances)["stored"]
    fresh = record.over_seeds(record.tidy(read_records(plan, plan.specs, runs)))
    if unknown := {*fresh["metric"]} - {*rules["at_least"]}:
        raise UserError(f"{tolerances} does not say the least tolerance of {' and '.join(sorted(unknown))}")
    kept = kept.assign(deviation=_deviations(kept, rules["edge"]))
    lines = fresh.merge(kept, on=KEYS, suffixes=("", "_stored"), how="left")
    standard_error = lines["deviation"] * np.sqrt(1 / lines["n"] + 1 / lines["n_stored"])
    least = lines["metric"].map(rules["at_least"])
    lines["difference"] = lines["mean"] - lines["mean_stored"]
    lines["tolerance"] = np.maximum(rules["deviations"] * standard_error, least)
    lines = pd.concat([lines, _together(lines)], ignore_index=True)
    low, high = lines["mean_stored"] - lines["tolerance"], lines["mean_stored"] + lines["tolerance"]
    verdicts = {
        "no reference": lines["mean_stored"].isna(),
        "differs": lines["difference"].abs() > lines["tolerance"],
        "cannot fail": ~lines["metric"].isin(unbounded_metrics()) & (low <= 0) & (high >= 1),
    }
    lines["verdict"] = np.select([*verdicts.values()], [*verdicts], "agrees")
    return lines


def _deviations(kept: pd.DataFrame, edge: float) -> pd.Series:
    """Of each stored cell the deviation over seeds: its own, or what its mean leads one to expect where that is more.

    With few seeds a cell's own may be small by chance. How much seeds vary goes with the mean m: as m (1 - m) for
    shares, which have no room at 0 and 1, and as m squared for other numbers. The factor is that of all specs
    together, for each metric and layer. A share nearer to 0 or 1 than `edge` is taken to lie there: a few features
    may all be alike.
    """
    near = kept["mean"].clip(edge, 1 - edge)
    room = (near * (1 - near)).mask(kept["metric"].isin(unbounded_metrics()), kept["mean"] ** 2)
    sums = pd.DataFrame({"variance": kept["sd"] ** 2, "room": room}).groupby([kept["metric"], kept["layer"]])
    factor = sums["variance"].transform("sum") / sums["room"].transform("sum")
    return np.fmax(kept["sd"], np.sqrt(factor * room))


def _together(lines: pd.DataFrame) -> pd.DataFrame:
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
                **{verdict.replace(" ", "_"): int(counts.get(verdict, 0)) for verdict in VERDICTS},
                "cells": json.loads(frame.to_json(orient="records", double_precision=15)),
            },
            indent=1,
        )
        + "\n"
    )


def check(path: Path) -> tuple[str, bool]:
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
    compared = data["agrees"] + data["differs"] + data["cannot_fail"]
    lines.append(
        f"{data['agrees']:,} of {compared:,} cells agree, {data['cannot_fail']:,} that nothing could fail; "
        f"{data['no_reference']:,} have no reference"
    )
    return lines
