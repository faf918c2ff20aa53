"""An archive of measurements made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from filter_sparsity.seal import digest_json


def write_archive(csv: Path, lines: pd.DataFrame, **origin: object) -> None:
    """Write a tidy frame as an archive's csv, and the json beside it; `origin` is in the provenance of every run."""
    lines.to_csv(csv, index=False)
    runs = []
    for (spec_id, seed), own in lines.groupby(["spec_id", "seed"]):
        measured: dict = {}
        for metric, layer, value in own[["metric", "layer", "value"]].itertuples(index=False):
            if layer:
                measured.setdefault(metric, {})[layer] = value
            else:
                measured[metric] = value
        who = {"spec_id": spec_id, "seed": int(seed)}
        record = {**who, "spec": {}, "provenance": {**who, "spec": {}, **origin}, "measured": measured}
        runs.append({**who, **origin, "environment": 0, "without": [], "arrays": [], "digest": digest_json(record)})
    specs = {run["spec_id"]: {} for run in runs}
    content = {"note": "", "specs": specs, "environments": [{}], "simulations": {}, "runs": runs}
    csv.with_suffix(".json").write_text(json.dumps(content))
