"""The verdict: every number that the paper prints against ours, and every claim. Torch-free."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError
from ..files import atomic_write, write_text
from ..plan import Plan
from ..spec import short
from .aggregate import aggregate

DECIDED = ("confirmed", "refuted")
CLAIM_VERDICTS = (*DECIDED, "undecided", "not measured")
VERDICTS = ("agrees", "differs", "undecided", "not comparable", "not measured")


def judge(plan: Plan, runs: Path, published: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every printed number: table, row and column, the paper's value and ours, and the verdict."""
    frames, judged = [], list[str | None]([None])
    for name, table in plan.tables.items():
        if table["reference"] not in judged:  # a table that shows some of another's numbers again is left out
            judged.append(table["reference"])
            frames.append(aggregate(plan, name, runs, published, tolerances).assign(table=name))
    cells = pd.concat(frames, ignore_index=True)
    return cells[["table", *cells.columns.drop("table")]][cells["paper"].notna()]


def summary(plan: Plan, cells: pd.DataFrame, claims: pd.DataFrame) -> dict[str, Any]:
    """How many cells and claims have which verdict, at which scale, and from how many runs.

    `claims` are those about networks; those that a simulation decides, at every scale alike, are counted apart. Of
    `lacking` what they presuppose is not there, so that no further run decides them; `unfit` are undecided ones with
    runs that cannot decide them. `statements` are those of the claims about networks, by verdict.
    """
    runs = [len(plan.seeds_of(spec)) for spec in plan.specs]
    lacking = claims["given"] & (claims["verdict"] == "refuted")
    unfit = (claims["reason"] != "") & (claims["claim_verdict"] == "undecided")

    each = claims.drop_duplicates("id")
    networks = each[each["basis"] == "networks"]

    def counted(basis: str) -> dict[str, int]:
        own = each[each["basis"] == basis]
        return {"made": len(own), **count(own["claim_verdict"], CLAIM_VERDICTS)}

    return {
        "scale": plan.scale,
        "width": plan.settings["width"],
        "steps": plan.settings["steps"],
        "records": plan.settings.get("records", "trained"),
        "runs": sum(runs),
        "specs_with_runs": sum(n > 0 for n in runs),
        "specs": len(runs),
        "seeds": [min((n for n in runs if n), default=0), max(runs, default=0)],
        "cells": {"printed": len(cells), **count(cells["verdict"], VERDICTS)},
        "claims": {
            **counted("networks"),
            "lacking": claims[lacking]["id"].nunique(),
            "unfit": claims[unfit]["id"].nunique(),
        },
        "simulated_claims": counted("simulation"),
        "statements": {
            verdict: [*networks.loc[networks["claim_verdict"] == verdict, "statement"]] for verdict in DECIDED
        },
    }


def count(values: pd.Series, names: tuple[str, ...]) -> dict[str, int]:
    counts = values.value_counts()
    return {name: int(counts.get(name, 0)) for name in names}


def as_json(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1) + "\n"


def told(claims: dict[str, int]) -> str:
    """How many claims have which verdict, as words."""
    return ", ".join(f"{claims[verdict]} {verdict}" for verdict in CLAIM_VERDICTS if claims[verdict])


def undecidable(claims: dict[str, int]) -> str:
    """A sentence each on the two kinds of claims that no further seed decides, if there are any."""
    said = {
        "lacking": "presuppose sparsity where there is none here",
        "unfit": "rest on runs that cannot decide them: silent from the start, not learned, or too short for decay",
    }
    return "".join(f" {claims[kind]} of the undecided {what}." for kind, what in said.items() if claims[kind])


def _scale(found: dict[str, Any]) -> str:
    """How much smaller than the paper's the networks are, and how long they are trained."""
    width = "" if found["width"] == 1 else f", {short(found['width'])} of the width"
    steps = "" if found["steps"] is None else f", {found['steps']:,} steps"
    return width + steps


def _statements(statements: list[str]) -> str:
    return " ".join(statements) or "none so far."


START, END = "<!-- verdict: written by `snakemake readme` -->", "<!-- end of verdict -->"


def for_readme(found: dict[str, Any], layers: str, overview: str) -> str:
    """The verdict of stored records as the README's first screen shows it, between its two markers.

    `layers` and `overview` are the pictures' addresses.
    """
    if not found["runs"]:
        said = f"**The verdict**: no runs of real images (scale `{found['scale']}`) are stored yet."
    else:
        cells, claims, simulated = found["cells"], found["claims"], found["simulated_claims"]
        least, most = found["seeds"]
        seeds = f"{least} to {most}" if least < most else f"{most}"
        measured = cells["printed"] - cells["not measured"]
        smaller = cells["not comparable"]
        agree = ", and not comparable with the paper's" if smaller else f": {cells['agrees']} agree"
        caution = (
            " Networks are smaller here than the paper's, and trained for fewer steps: "
            "what does not hold at this scale says little of the paper's own."
            if smaller
            else ""
        )
        holds, fails = (_statements(found["statements"][verdict]) for verdict in DECIDED)
        open_claims = claims["undecided"] + claims["not measured"]
        said = (
            f"**The verdict** at scale `{found['scale']}` (real CIFAR images{_scale(found)}; {found['runs']} runs of "
            f"{found['specs_with_runs']} specs, n = {seeds}), "
            f"on {claims['made']} claims of the supplement about networks:\n\n"
            f"- **Holds here** ({claims['confirmed']}): {holds}\n"
            f"- **Does not hold here** ({claims['refuted']}): {fails}{caution}\n"
            f"- **Open** ({open_claims}): {claims['undecided']} undecided, {claims['not measured']} not measured."
            f"{undecidable(claims)}\n\n"
            f"Of {simulated['made']} claims about a simulated scalar (Figure 3, which needs no network): "
            f"{told(simulated)}. "
            f"Of {cells['printed']} printed numbers {measured} are measured{agree}.\n\n"
            f"![Table 1, layer by layer: ours and the paper's]({layers})\n\n"
            f"![All printed numbers: ours in the left half of each cell, the paper's in the right]({overview})"
        )
    return f"{START}\n{said}\n{END}"


def into_readme(verdict: Path, pictures: Sequence[Path], readme: Path, folder: Path) -> None:
    """Replace what stands between the README's markers, and copy the pictures, layers and overview, to `folder`.

    Raises UserError without markers.
    """
    try:
        found = json.loads(verdict.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{verdict} holds no verdict ({error}): judge again") from None
    text = readme.read_text()
    between = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if not between.search(text):
        raise UserError(f"{readme} has no place for the verdict: put the lines {START} and {END} into it")
    for picture in pictures if found["runs"] else ():
        with atomic_write(folder / picture.name) as temporary:
            shutil.copyfile(picture, temporary)
    block = for_readme(found, *((folder / picture.name).relative_to(readme.parent).as_posix() for picture in pictures))
    write_text(readme, between.sub(lambda _: block, text))
