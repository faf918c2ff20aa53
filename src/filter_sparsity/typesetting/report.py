"""The report as LaTeX, around the tables and figures: verdicts, assumed facts, method and provenance. Torch-free."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from .. import paths, provenance
from ..parts import Fact
from ..plan import Plan
from ..records import archive
from ..verdict.aggregate import read_records
from ..verdict.labels import NAMES
from ..verdict.sensitivity import read_compared
from ..verdict.statistics import CONFIDENCE
from ..verdict.verdicts import ShiftVerdict
from .latex import Context, fill, latex, number, spread
from .tables import changes, describe_scale, scale_sentence

KNOWN = {
    **NAMES,
    "basicnet": "BasicNet",
    "vgg11": "VGG-11",
    "vgg16": "VGG-16",
    "imagenet": "ImageNet",
    "tiny imagenet": "Tiny-ImageNet",
    "objectnet3d": "ObjectNet3D",
    "figure3": "figure 3",
    "gamma init": "γ_init",
    "beta init": "β_init",
    "gamma": "γ",
    "beta": "β",
}
UNKNOWN = "one that was not kept"  # of records from before it was


def typeset_report(
    plan: Plan,
    runs: Path,
    template: Path,
    verdicts: Sequence[Context] = (),
    assumed: Context | None = None,
) -> str:
    """The report's LaTeX. Tables and figures are read from `tables/` and `figures/` beside it when it is compiled.

    `verdicts` are this scale's, which comes first, and those of other scales' stored records. `assumed` is what the
    stored runs of varied facts say, where the scale shows it.
    """
    records = read_records(plan, plan.specs, runs)
    origins = [record["provenance"] for record in records]
    shown = {name: plan.selected(name) for name in (*plan.tables, *plan.figures)}
    context = {
        "scale": plan.scale,
        "stored": plan.runs is not None,
        "verdicts": list(verdicts),
        "sensitivity": assumed,
        "changes": changes(plan),
        "networks": sum(len(plan.seeds_of(spec)) for spec in plan.specs),
        "specs": len(plan.specs),
        "scale_sentence": scale_sentence(plan, plan.datasets, plan.specs),
        "measured_specs": sum(len(plan.seeds_of(spec)) > 0 for spec in plan.specs),
        "tables": [name for name, table in plan.tables.items() if not table["missing_inputs"]],
        "not_run": {name: table["missing_inputs"] for name, table in plan.tables.items() if table["missing_inputs"]},
        "figures": {
            name: {
                "missing_inputs": [],
                **figure,
                "caption": f"{figure['caption']} {describe_scale(plan, name)}".rstrip(),
            }
            for name, figure in plan.figures.items()
        },
        "not_drawn": {
            name: figure["missing_inputs"] for name, figure in plan.figures.items() if figure.get("missing_inputs")
        },
        "together": together,
        "facts": [
            {"part": as_known(part), "lines": [_told(line) for line in lines]}
            for part, lines in itertools.groupby(plan.facts, key=lambda f: f["part"])
        ],
        "notes": plan.notes,
        "datasets": [
            {**asdict(data), "digest": next((o["data_digest"] for o in origins if o["dataset"] == name), "")}
            for name, data in plan.datasets.items()
        ],
        "folded": folded([record["measured"] for record in records]),
        "commits": tally(o["commit"] for o in origins),
        "measured_by": tally(o.get("measured_by", UNKNOWN) for o in origins),
        "devices": tally(o["device"] for o in origins),
        "versions": tally(", ".join(f"{k} {v}" for k, v in o["versions"].items()) for o in origins),
        "hours": sum(o["wall_seconds"] for o in origins) / 3600,
        "typeset_by": provenance.commit(),
        "runs": [
            {
                "spec": spec,
                "where": [name for name, specs in shown.items() if spec in specs],
                "seconds": sum(o["wall_seconds"] for o in origins if o["spec_id"] == spec),
            }
            for spec in plan.specs
            if plan.seeds_of(spec)
        ],
    }
    return fill(template, context)


def as_known(text: str) -> str:
    """The names of settings as readers of the paper know them."""
    return re.sub(rf"\b({'|'.join(KNOWN)})\b", lambda name: KNOWN[name[1]], text)


def _told(fact: Fact) -> Fact:
    """A line of the page of method; a value that is a word may be a name, too."""
    value = as_known(fact["value"]) if isinstance(fact["value"], str) else fact["value"]
    return {**fact, "name": as_known(fact["name"]), "value": value}


def together(loop: Any) -> bool:
    """Whether a row of a long table stays on one page with the next: the first two and last three of a list do."""
    return not loop.last and (loop.index < 3 or loop.revindex < 4)


def folded(measured: Sequence[Mapping[str, Any]]) -> str:
    """How much it matters what becomes of the constants that removed features gave to the next layer."""
    points = [100 * abs(m["pruned_test_error"] - m["pruned_test_error_folded"]) for m in measured]
    differing = sum(p > 0 for p in points)
    most = f", by {max(points):.1f} points at most" if differing else ""
    return f"That changes the pruned test error of {differing} of {len(points)} runs{most}."


def commits(kept: archive.Archive) -> dict[str, list[str]]:
    """By which commits the stored runs of a scale were trained and measured."""
    runs = list(kept["runs"].values())
    return {
        "commits": tally(kept["environments"][run["environment"]]["commit"] for run in runs),
        "measured_by": tally(run.get("measured_by", UNKNOWN) for run in runs),
    }


def tally(values: Any) -> list[str]:
    """Distinct values with how often each occurs, most frequent first."""
    counts = Counter(values)
    return [f"{value} ({count} runs)" if len(counts) > 1 else value for value, count in counts.most_common()]


def sensitivity(plan: Plan, compared: Path) -> Context:
    """What the report says of assumed facts that were varied: each group's rows, nearest to the paper first."""
    frame = read_compared(compared)
    published = [str(name).removesuffix("_paper") for name in frame if str(name).endswith("_paper")]
    layers = [name for name in published if name not in ("test_error", "contrast")]
    groups = []
    for label, own in frame.groupby("group", sort=False):
        first = own.iloc[0]
        none: dict[Any, Any] = {"row": "no sparsity at all", "n": "", "distance": first["even"], "contrast": 0.0}
        none |= {"contrast_off": abs(first["contrast_paper"])} | dict.fromkeys(layers, 0.0)
        measured = [line for line in own.to_dict("records") if line["n"]]
        rows = sorted([*measured, none], key=lambda line: line["contrast_off"])
        groups.append(
            {
                "label": label,
                "rows": [_row(line, layers) for line in rows],
                "paper": [number(first[f"{layer}_paper"], "sparsity_by_gamma") for layer in layers],
                "paper_error": number(first["test_error_paper"], "test_error"),
                "paper_contrast": _points(first["contrast_paper"]),
                "sentence": nearest_change(own),
            }
        )
    tested = int(frame["contrast_off_low"].notna().sum())
    return {
        "scale": plan.scale,
        "changes": changes(plan),
        "runs": int(frame["n"].sum()),
        "tested": tested,
        "by_chance": round(tested * (1 - CONFIDENCE)),
        "layers": layers,
        "groups": groups,
        **commits(archive.index(paths.reference(plan.scale, "json"))),
        "caption": " ".join(table["caption"] for table in plan.tables.values()),
    }


def _points(change: float) -> str:
    return f"{100 * change:+.1f}".replace("-", "−")


def _row(line: dict[Any, Any], layers: list[str]) -> Context:
    """A row of the page, from a line of `sensitivity.compare`; what it lacks stays empty."""

    def cell(key: str, metric: str) -> str:
        return number(line[key], metric) if key in line else ""

    by, low, high = (line.get(f"contrast_off_{part}", math.nan) for part in ("change", "low", "high"))
    changed = "" if pd.isna(by) else _points(by)
    return {
        "label": line["row"],
        "cells": [
            cell(layer, "sparsity_by_gamma")
            + (spread(line.get("total_sd", math.nan), "sparsity_by_gamma") if layer == "total" else "")
            for layer in layers
        ],
        "error": cell("test_error", "test_error"),
        "n": line["n"],
        "contrast": latex(_points(line["contrast"])) + spread(line.get("contrast_sd", math.nan), "test_error"),
        "nearer": changed if pd.isna(low) else f"{changed} ({_points(low)} to {_points(high)})",
        "verdict": "" if pd.isna(low) else line["contrast_verdict"],  # one seed has no interval
        "silent_contrast": _points(line["silent_contrast"]) if "silent_contrast" in line else "",
        "silent_hidden": cell("silent_hidden", "sparsity_by_gamma"),
        "silent_start": cell("silent_start", "sparsity_by_gamma"),
        "distance": cell("distance", "test_error"),
        "distance_verdict": "" if pd.isna(low) else line["verdict"],
    }


def nearest_change(rows: pd.DataFrame) -> str:
    """The change of a group of rows that comes nearest to the paper's contrast, as a sentence or more."""
    base = rows.iloc[0].to_dict()
    if not base["n"]:
        return "The first row is not measured: there is nothing to compare the others with."
    best = rows[rows["n"] > 0].sort_values("contrast_off", kind="stable").iloc[0].to_dict()
    if best["row"] == base["row"]:
        said = "No change brings the contrast nearer than it was at first."
    else:
        said = (
            f"Nearest is “{best['row']}”: {100 * best['contrast_off']:.1f} points from the paper's contrast, against "
            f"{100 * base['contrast_off']:.1f} at first"
        )
        said += "." if best["contrast_verdict"] == ShiftVerdict.CLOSER else "; over so few seeds that is undecided."
    none = abs(best["contrast_paper"])
    if best["contrast_off"] >= none:
        said += f" But a network without any sparsity would be nearer: {100 * none:.1f}."
    missing = [f"“{row}”" for row in rows[rows["n"] == 0]["row"]]
    return said + (f" Not run: {', '.join(missing)}." if missing else "")
