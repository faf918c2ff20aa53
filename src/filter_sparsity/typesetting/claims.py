"""Claims beside the paper's numbers, and the few among them that are headlines. Torch-free."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TypedDict, cast

import pandas as pd

from .. import paths
from ..errors import UserError
from ..metrics import METRICS, Kind
from ..parts import ClaimTest
from ..plan import Plan
from ..verdict.cells import read_cells
from ..verdict.claims import JudgedTest
from ..verdict.labels import sides_of
from ..verdict.summary import read_summary
from ..verdict.verdicts import ClaimVerdict
from .latex import Context, number
from .tables import changes, scale_sentence
from .words import long_name

NONE = "–"  # in place of a number that nobody printed, or measured


class Headline(TypedDict):
    """A claim in a line. `paper` and `here` are the numbers of its tests, in their order, without preconditions."""

    statement: str
    paper: str
    here: str
    n: str
    verdict: str
    lies: str  # whether all values are inside the bounds, or one is outside
    specs: list[str]  # ids of the specs that decide it


class Answer(TypedDict):
    """The first test of the first headline that compares two specs: both values of either side, in percent or plain."""

    statement: str
    settings: str  # what is compared
    dataset: str  # on which it was measured
    paper: tuple[str, str]
    here: tuple[str, str]
    unit: str  # of the values
    n: int
    verdict: str  # of this test
    claim_verdict: str  # of all of them


class ShownTest(JudgedTest):
    """A judged test, with what the paper's own numbers make of it."""

    layer: str
    metric: str
    paper: str


class ShownClaim(TypedDict):
    """A judged claim with its tests, and why some cannot decide it."""

    id: str
    statement: str
    place: str
    basis: str
    claim_verdict: ClaimVerdict
    tests: list[ShownTest]
    reasons: list[str]


def read_claims(path: Path) -> pd.DataFrame:
    """The CSV of `judge_claims`. Raises UserError."""
    try:
        empty = dict.fromkeys(("effect", "low", "high"), "")
        return pd.read_csv(path, keep_default_na=False, na_values=empty)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no verdict ({error}): judge again") from None


def describe_verdict(plan: Plan, folder: Path) -> Context:
    """What report and README say of a verdict: its counts, each claim with its tests, and the headlines.

    `folder` has what `judge` wrote: cells.csv, claims.csv and verdict.json.
    """
    claims = judged_claims(plan, folder)
    return {
        **read_summary(folder / "verdict.json"),
        "at_paper_scale": plan.is_paper_scale,
        "paper_scale_stored": paths.reference("paper").exists(),
        "answer": answer(plan, folder, claims),
        "headlines": headlines(plan, claims),
        "judged_claims": claims,
        "changes": changes(plan),
        "scale_sentence": scale_sentence(plan, plan.datasets, plan.specs),
    }


def judged_claims(plan: Plan, folder: Path) -> list[ShownClaim]:
    """Each claim with its verdict, its reasons and its tests; `paper` of a test is what the paper's numbers make of it.

    `folder` is that of the verdict: cells.csv and claims.csv.
    """
    printed = _by_spec(read_cells(folder / "cells.csv"), "paper")
    frame = read_claims(folder / "claims.csv")
    claims: list[ShownClaim] = []
    for claim in plan.claims:
        own = frame[frame["id"] == claim["id"]]
        if len(own) != len(claim["tests"]):
            raise UserError(f"{folder / 'claims.csv'} has other tests of {claim['id']} than the plan: judge again")
        lines = cast(list[JudgedTest], own.to_dict("records"))
        tests: list[ShownTest] = [
            {**line, "layer": test["layer"], "metric": test["metric"], "paper": _printed(test, printed)}
            for test, line in zip(claim["tests"], lines, strict=True)
        ]
        reasons = [*dict.fromkeys(test["reason"] for test in tests if test["reason"])]
        first = own.iloc[0]
        claims.append(
            {
                "id": claim["id"],
                "statement": claim["statement"],
                "place": claim["place"],
                "basis": first["basis"],
                "claim_verdict": first["claim_verdict"],
                "tests": tests,
                "reasons": reasons,
            }
        )
    return claims


def headlines(plan: Plan, claims: list[ShownClaim]) -> list[Headline]:
    """A line for each of the plan's headline claims, from what `judged_claims` gave."""
    marked = {claim["id"] for claim in plan.claims if claim.get("headline")}
    lines: list[Headline] = []
    for claim in claims:
        if claim["id"] in marked:
            tests = [test for test in claim["tests"] if not test["precondition"]]
            counts = sorted({test["n"] for test in tests})
            sides = (test[side] for test in claim["tests"] for side in ("spec", "baseline"))
            lines.append(
                {
                    "statement": claim["statement"],
                    "paper": _together(tests, [test["paper"] for test in tests]),
                    "here": _together(tests, [str(test["found"]).partition(" (")[0] for test in tests]),
                    "n": str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
                    "verdict": claim["claim_verdict"],
                    "lies": "inside" if all(test["lies"] == "inside" for test in claim["tests"]) else "outside",
                    "specs": [*dict.fromkeys(filter(None, sides))],
                }
            )
    return lines


def answer(plan: Plan, folder: Path, claims: list[ShownClaim]) -> Answer | None:
    """What the first headline says, with its numbers; None if it compares no two printed values."""
    cells = read_cells(folder / "cells.csv")
    printed, measured = (_by_spec(cells, column) for column in ("paper", "mean"))
    claim = next((claim for claim in plan.claims if claim.get("headline")), None)
    test = claim and next((test for test in claim["tests"] if "baseline" in test), None)
    if not claim or not test:
        return None
    keys = [(side.get("spec_id", ""), test["metric"], test["layer"]) for side in sides_of(test)]
    if not all(key in printed for key in keys):
        return None
    shown = next(shown for shown in claims if shown["id"] == claim["id"])
    judged, published = shown["tests"][claim["tests"].index(test)], test["spec"]["settings"]["dataset"]
    paper, here = ([number(values[key], test["metric"]) for key in keys] for values in (printed, measured))
    return {
        "statement": claim["statement"].rstrip("."),
        "settings": f"{judged['quantity'].partition(': ')[2].replace(' − ', ' against ')} on {long_name(published)}",
        "dataset": long_name(plan.specs[judged["spec"]].dataset),
        "paper": (paper[0], paper[1]),
        "here": (here[0], here[1]),
        "unit": "" if METRICS[test["metric"]].kind == Kind.NUMBER else " %",
        "n": judged["n"],
        "verdict": judged["verdict"],
        "claim_verdict": shown["claim_verdict"],
    }


def _by_spec(cells: pd.DataFrame, column: str) -> dict[tuple[str, str, str], float]:
    """A column of the cells by spec, metric and layer; of a number that two tables print, the first."""
    keys = cells[["spec_id", "metric", "layer"]].itertuples(index=False, name=None)
    found: dict[tuple[str, str, str], float] = {}
    for key, value in zip(keys, cells[column], strict=True):
        found.setdefault(key, value)
    return found


def _printed(test: ClaimTest, printed: dict[tuple[str, str, str], float]) -> str:
    """A test's quantity in the paper's numbers; a dash if it does not print them all."""
    metric = METRICS[test["metric"]]

    def of_spec(spec_id: str) -> float:
        names = metric.difference_of or (metric.name,)
        first, *second = (printed.get((spec_id, name, test["layer"]), math.nan) for name in names)
        return first - sum(second)

    first, *second = (of_spec(side.get("spec_id", "")) for side in sides_of(test))
    value, differs = first - sum(second), bool(second)
    if math.isnan(value):
        return NONE
    rounded = round(value, 6) or 0.0  # which has no sign
    unit = "" if metric.kind == Kind.NUMBER else " points" if differs or metric.signed else " %"
    text = number(rounded, (metric.difference_of or (metric.name,))[0])
    return f"{'+' if differs and rounded > 0 else ''}{text}{unit}".replace("-", "−")


def _together(tests: list[ShownTest], texts: list[str]) -> str:
    """`C1 44, C2 22; C1 59 %`: numbers of several tests, those of other specs or metrics apart, the unit once."""
    if all(text == NONE for text in texts):
        return NONE
    units = {_unit(text) for text in texts if text != NONE}
    unit = units.pop() if len(units) == 1 else ""
    parts = []
    for _, own in itertools.groupby(
        zip(tests, texts, strict=True), key=lambda pair: [pair[0][key] for key in ("spec", "baseline", "metric")]
    ):
        numbers = [(test["layer"], text.removesuffix(f" {unit}")) for test, text in own]
        parts.append(", ".join(text if layer in ("", "total") else f"{layer} {text}" for layer, text in numbers))
    return f"{'; '.join(parts)} {unit}".rstrip()


def _unit(text: str) -> str:
    """`points` of `+5.0 points`; a plain number has none."""
    return text.rpartition(" ")[2] if " " in text else ""
