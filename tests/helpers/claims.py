"""A test of a claim, judged by measurements made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from filter_sparsity.plan import Plan
from filter_sparsity.verdict import claims

RULES: Any = {"claims": {"prior_df": 3}, "health": {"silent_early": 0.1, "chance": 0.9}}
COLUMNS = ["spec_id", "metric", "layer", "seed", "value"]


def measurements(
    plan: Plan, lines: list[tuple], simulations: Path = Path(), prior_df: float = 3
) -> claims.Measurements:
    """What (spec_id, metric, layer, seed, value) of runs say."""
    frame = pd.DataFrame(lines, columns=COLUMNS).astype({"value": float})
    return claims.take_measurements(plan, frame, {**RULES, "claims": {"prior_df": prior_df}}, simulations)


def weighed(plan: Plan, lines: list[tuple], test: Any, **settings: Any) -> claims.JudgedTest:
    """A claim of one test."""
    return claims.judge_claim({"tests": [test]}, measurements(plan, lines, **settings))[0]  # type: ignore[typeddict-item]
