"""The summary of a verdict: how many numbers and claims have which verdict. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import pandas as pd

from ..errors import UserError
from ..plan import Plan
from .verdicts import ClaimVerdict, NumberVerdict

DECIDED = (ClaimVerdict.CONFIRMED, ClaimVerdict.REFUTED)


class Cause(TypedDict):
    """A precondition that does not hold, and so decides nothing of the claims that presuppose it."""

    quantity: str
    found: str
    claims: list[str]  # their ids


class Summary(TypedDict):
    """The content of verdict.json."""

    scale: str
    width: float  # of the networks, relative to the paper's
    steps: int | None  # of a training; None: as published
    records: str  # trained here, or stored
    runs: int
    specs_with_runs: int
    specs: int
    seeds: list[int]  # least and most of a spec with runs
    cells: dict[str, int]  # `printed` numbers, and how many have which verdict
    claims: dict[str, int]  # `made` about networks, how many have which verdict, `inside`, `lacking`, `unfit`
    causes: list[Cause]  # of what is `lacking`, the one of most claims first
    simulated_claims: dict[str, int]  # `made` about a simulation, and how many have which verdict
    own_questions: dict[str, int]  # that the supplement does not answer: `made`, and how many have which verdict
    statements: dict[str, list[str]]  # of the claims about networks that are confirmed or refuted


def summarize(plan: Plan, cells: pd.DataFrame, claims: pd.DataFrame) -> Summary:
    """The summary of what `judge_numbers` and `judge_claims` decided.

    Claims that a simulation decides, at every scale alike, are counted apart, and so are questions of ours. `lacking`
    counts claims with a refuted precondition: no further run decides them; `causes` are these preconditions. `unfit`
    counts undecided claims with runs that cannot decide them, `inside` those of which all values are where they should.
    """
    runs = [len(plan.seeds_of(spec)) for spec in plan.specs]
    ours = claims["origin"] == "ours"
    lacking = ~ours & claims["precondition"] & (claims["verdict"] == ClaimVerdict.REFUTED)
    unfit = ~ours & (claims["reason"] != "") & (claims["claim_verdict"] == ClaimVerdict.UNDECIDED)
    undecided = claims[~ours & (claims["basis"] == "networks") & (claims["claim_verdict"] == ClaimVerdict.UNDECIDED)]
    each = claims[~ours].drop_duplicates("id")
    networks, simulated = (each[each["basis"] == basis] for basis in ("networks", "simulation"))
    questions = claims[ours].drop_duplicates("id")
    causes: list[Cause] = [
        {"quantity": str(quantity), "found": str(own["found"].iloc[0]), "claims": [*dict.fromkeys(own["id"])]}
        for quantity, own in claims[lacking].groupby("quantity", sort=False)
    ]
    return {
        "scale": plan.scale,
        "width": plan.settings["width"],
        "steps": plan.settings["steps"],
        "records": plan.settings.get("records", "trained"),
        "runs": sum(runs),
        "specs_with_runs": sum(n > 0 for n in runs),
        "specs": len(runs),
        "seeds": [min((n for n in runs if n), default=0), max(runs, default=0)],
        "cells": {"printed": len(cells), **_count(cells["verdict"], NumberVerdict)},
        "claims": {
            "made": len(networks),
            **_count(networks["claim_verdict"], ClaimVerdict),
            "inside": int((undecided["lies"] == "inside").groupby(undecided["id"]).all().sum()),
            "lacking": claims[lacking]["id"].nunique(),
            "unfit": claims[unfit]["id"].nunique(),
        },
        "causes": sorted(causes, key=lambda cause: -len(cause["claims"])),
        "simulated_claims": {"made": len(simulated), **_count(simulated["claim_verdict"], ClaimVerdict)},
        "own_questions": {"made": len(questions), **_count(questions["claim_verdict"], ClaimVerdict)},
        "statements": {
            verdict.value: [*networks.loc[networks["claim_verdict"] == verdict, "statement"]] for verdict in DECIDED
        },
    }


def _count(values: pd.Series, verdicts: Iterable[str]) -> dict[str, int]:
    counts = values.value_counts()
    return {str(verdict): int(counts.get(verdict, 0)) for verdict in verdicts}


def as_json(summary: Summary) -> str:
    return json.dumps(summary, indent=1) + "\n"


def read_summary(path: Path) -> Summary:
    """The summary of verdict.json. Raises UserError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no verdict ({error}): judge again") from None


def count_in_words(claims: dict[str, int]) -> str:
    """How many claims have which verdict: `2 confirmed, 1 refuted`."""
    return ", ".join(f"{claims[verdict]} {verdict}" for verdict in ClaimVerdict if claims[verdict])
