"""Verdicts and settings in words, as the templates of report and README show them. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from .. import paths
from ..parts import Dataset
from ..spec import short
from ..verdict.labels import DATASETS
from ..verdict.verdicts import ClaimVerdict, NumberVerdict

WIDTHS = {0.5: "half the width", 0.25: "a quarter of the width", 0.125: "an eighth of the width"}


def worded(verdict: str, at_paper_scale: bool) -> str:
    """A claim's verdict: at another scale than the paper's a claim is not refuted, it does not hold there."""
    return "does not hold here" if verdict == ClaimVerdict.REFUTED and not at_paper_scale else str(verdict)


def counted(claims: Mapping[str, int], at_paper_scale: bool) -> str:
    """How many claims have which verdict: `2 confirmed, 1 does not hold here`."""
    each = [(claims[verdict], worded(verdict, at_paper_scale)) for verdict in ClaimVerdict if claims.get(verdict)]
    return ", ".join(f"{n} {word if n == 1 else word.replace('does', 'do')}" for n, word in each)


def counted_numbers(cells: Mapping[str, int]) -> str:
    """How many of the measured numbers have which verdict: `20 agree, 6 differ`."""
    plural = {NumberVerdict.AGREES: "agree", NumberVerdict.DIFFERS: "differ"}
    each = [verdict for verdict in NumberVerdict if verdict != NumberVerdict.NOT_MEASURED and cells.get(verdict)]
    return ", ".join(f"{cells[verdict]} {plural.get(verdict, verdict)}" for verdict in each) or "none"


def of_the_width(width: float) -> str:
    """`half the width`, or `0.3 of the width`."""
    return WIDTHS.get(width, f"{short(width)} of the width")


def long_name(name: str) -> str:
    """A dataset as a reader knows it: `CIFAR-10 averaged to 16x16 pixels`."""
    shrunk = paths.shrunk_from(name)
    base, side = shrunk or (name, 0)
    known = DATASETS.get(base, base)
    return f"{known} averaged to {side}x{side} pixels" if shrunk else known


def data_used(dataset: Dataset) -> str:
    """A dataset, and the one in whose place it is: `digits for CIFAR-10`."""
    replaces = "" if paths.shrunk_from(dataset.name) else dataset.stands_for
    return f"{long_name(dataset.name)} for {long_name(replaces)}" if replaces else long_name(dataset.name)
