"""The verdict: every number that the paper prints against ours, and every claim. Torch-free."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from .aggregate import aggregate
from .errors import UserError
from .paths import whole, write_text
from .plan import Plan

VERDICTS = ("agrees", "differs", "undecided", "not comparable", "not measured")


def judge(plan: Plan, runs: Path, published: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every printed number: table, row and column, the paper's value and ours, and the verdict."""
    frames, judged = [], [None]
    for name, table in plan.tables.items():
        if table["reference"] not in judged:  # a table that shows some of another's numbers again is left out
            judged.append(table["reference"])
            frames.append(aggregate(plan, name, runs, published, tolerances).assign(table=name))
    cells = pd.concat(frames, ignore_index=True)
    return cells[["table", *cells.columns.drop("table")]][cells["paper"].notna()]


def summary(plan: Plan, cells: pd.DataFrame, claims: pd.DataFrame) -> dict[str, Any]:
    """How many cells and claims have which verdict, at which scale, and from how many runs."""
    runs = [len(plan.seeds_of(spec)) for spec in plan.specs]
    told = claims.drop_duplicates("id")["claim_verdict"]
    return {
        "scale": plan.scale,
        "records": plan.settings.get("records", "trained"),
        "runs": sum(runs),
        "specs_with_runs": sum(n > 0 for n in runs),
        "specs": len(runs),
        "seeds": [min((n for n in runs if n), default=0), max(runs, default=0)],
        "cells": {"printed": len(cells), **count(cells["verdict"], VERDICTS)},
        "claims": {"made": len(told), **count(told, ("confirmed", "refuted", "undecided", "not measured"))},
    }


def count(values: pd.Series, names: tuple[str, ...]) -> dict[str, int]:
    counts = values.value_counts()
    return {name: int(counts.get(name, 0)) for name in names}


def as_json(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1) + "\n"


START, END = "<!-- verdict: written by `snakemake readme` -->", "<!-- end of verdict -->"


def for_readme(found: dict[str, Any], picture: str) -> str:
    """The verdict of stored records as the README's first screen shows it, between its two markers."""
    if not found["runs"]:
        said = f"**The verdict**: no runs of real images (scale `{found['scale']}`) are stored yet."
    else:
        cells, claims = found["cells"], found["claims"]
        least, most = found["seeds"]
        seeds = f"{least} to {most}" if least < most else f"{most}"
        measured = cells["printed"] - cells["not measured"]
        smaller = cells["not comparable"]
        agree = ", and not comparable with the paper's" if smaller else f": {cells['agrees']} agree"
        caution = (
            "Networks are smaller here than the paper's, and trained for fewer steps: a claim that they refute does "
            "not hold at this scale, which says little of the paper's own.\n\n"
            if smaller
            else ""
        )
        said = (
            f"**The verdict** at scale `{found['scale']}` (real CIFAR images, {found['runs']} runs of "
            f"{found['specs_with_runs']} specs, n = {seeds}):\n\n"
            f"- **{claims['confirmed']} of {claims['made']} claims** of the supplement confirmed, "
            f"{claims['refuted']} refuted, {claims['undecided']} undecided, {claims['not measured']} not measured;\n"
            f"- **{measured} of {cells['printed']} printed numbers** measured{agree}.\n\n{caution}"
            f"![All printed numbers: ours in the left half of each cell, the paper's in the right]({picture})"
        )
    return f"{START}\n{said}\n{END}"


def into_readme(verdict: Path, overview: Path, readme: Path, picture: Path) -> None:
    """Replace what stands between the README's markers, and copy the picture. Raises UserError without markers."""
    found = json.loads(verdict.read_text())
    text = readme.read_text()
    between = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if not between.search(text):
        raise UserError(f"{readme} has no place for the verdict: put the lines {START} and {END} into it")
    if found["runs"]:
        with whole(picture) as beside:
            shutil.copyfile(overview, beside)
    block = for_readme(found, picture.relative_to(readme.parent).as_posix())
    write_text(readme, between.sub(lambda _: block, text))
