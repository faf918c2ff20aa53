"""Whether a spec's runs can decide anything: did every layer respond at the start, and did they learn? Torch-free.

Thresholds are data: the part `health` of the tolerances file, with their reasons.
"""

from __future__ import annotations

import pandas as pd

from ..plan import Plan

FAULTS = {"silent": "silent at the start", "unlearned": "did not learn"}  # of a spec; both may be


def faults(lines: pd.DataFrame, plan: Plan, rules: dict[str, float]) -> dict[str, dict[str, str]]:
    """Of each spec that has a fault, its faults in words: {"silent": "C6 12 %, C7 48 %", "unlearned": "..."}.

    `lines` are measurements as `record.tidy` gives them, `rules` the thresholds. A spec has a fault if one of its runs
    has it; the words name the worst run. The head's hidden units do not count: no table is about them.
    """
    worst = lines.groupby(["metric", "spec_id", "layer"])["value"].max()
    found: dict[str, dict[str, str]] = {}
    for spec_id in lines["spec_id"].unique():
        spec = plan.specs[spec_id]
        shares = ((layer, worst.get(("silent_early", spec_id, layer), 0.0)) for layer in spec.network.layers)
        silent = [f"{layer} {100 * share:.0f} %" for layer, share in shares if share > rules["silent_early"]]
        classes = plan.datasets[spec.dataset].classes
        error = worst.get(("test_error", spec_id, ""), 0.0)
        by_chance = error >= rules["chance"] * (1 - 1 / classes)
        words = {
            "silent": ", ".join(silent),
            "unlearned": f"test error {100 * error:.0f} % of {classes} classes" if by_chance else "",
        }
        if any(words.values()):
            found[spec_id] = {fault: text for fault, text in words.items() if text}
    return found


def describe_faults(faults: dict[str, str]) -> str:
    """A spec's faults as a phrase: `silent at the start (C7 48 %), did not learn (test error 88 % of 10 classes)`."""
    return ", ".join(f"{what} ({faults[fault]})" for fault, what in FAULTS.items() if fault in faults)
