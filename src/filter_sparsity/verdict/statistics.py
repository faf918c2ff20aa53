"""The statistics behind the verdicts: intervals, tests of regions, deviations and tolerances. Torch-free.

How they are chosen, and why, is in docs/verdicts.md.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypedDict

import numpy as np
import pandas as pd

from ..metrics import signed_metrics, unbounded_metrics
from ..parts import Region
from .verdicts import ClaimVerdict, NumberVerdict

CONFIDENCE = 0.9  # of an interval; each of its ends is tested at half of the rest, 5 %
ROUNDING = 1e-9  # of floats: a printed 0.125 is not exactly that


class PaperRules(TypedDict):
    """The part `paper` of the tolerances file."""

    seeds: int  # that the paper's numbers are means of
    deviations: float  # standard errors that a difference may have


class Interval(NamedTuple):
    """A mean with its interval of CONFIDENCE, and the number of values; the ends of fewer than two values are NaN."""

    mean: float
    low: float
    high: float
    n: int


def confidence_interval(values: pd.Series, least_deviation: float = 0.0) -> Interval:
    """The mean of the values and its interval by Student's t.

    Few seeds may be alike by chance: `least_deviation` is the standard deviation that a single value has at least.
    """
    n = len(values)
    if n < 2:
        return Interval(float(values.mean()) if n else math.nan, math.nan, math.nan, n)
    from scipy.stats import norm, t

    mean, side = float(values.mean()), (1 + CONFIDENCE) / 2
    half = max(float(t.ppf(side, n - 1) * values.std()), float(norm.ppf(side)) * least_deviation) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


REGIONS: tuple[Region, ...] = ("at_least", "at_most", "within", "outside")  # the last two: of a distance from 0


def judge_interval(region: Region, bound: float, low: float, high: float) -> ClaimVerdict:
    """Whether a quantity lies in a region, by its interval; the region's ends belong to it.

    Confirmed if the whole interval lies there, refuted if none of it does, undecided otherwise.
    """
    bound += -ROUNDING if region in ("at_least", "outside") else ROUNDING
    inside, outside = {
        "at_least": (low >= bound, high < bound),
        "at_most": (high <= bound, low > bound),
        "within": (low >= -bound and high <= bound, low > bound or high < -bound),
        "outside": (low >= bound or high <= -bound, low > -bound and high < bound),
    }[region]
    return ClaimVerdict.CONFIRMED if inside else ClaimVerdict.REFUTED if outside else ClaimVerdict.UNDECIDED


def compare_with_paper(cells: pd.DataFrame, rules: PaperRules, is_paper_scale: bool) -> pd.DataFrame:
    """Cells with the difference to the paper's value, the tolerance and its reason, and the verdict.

    The tolerance is half a unit of the last printed digit, and `deviations` standard errors of the difference between
    our mean of n runs and the paper's of `seeds`. Both are taken to spread as our seeds do: as those of this row, or as
    all rows of the column together where that is more, since a few seeds may be alike by chance. A cell is undecided
    where it is off by more than rounding and no row has two seeds to tell the spread by. Nothing is comparable unless
    the scale is the paper's. The verdict is empty where the paper prints nothing.
    """
    pooled = cells.assign(v=cells["sd"] ** 2).groupby(["column_group", "metric", "layer"])["v"].transform("mean") ** 0.5
    deviation = cells["sd"].fillna(0).clip(lower=pooled.fillna(0))
    known = pooled.notna()
    errors = rules["deviations"] * deviation * (1 / cells["n"].clip(lower=1) + 1 / rules["seeds"]) ** 0.5
    difference = cells["mean"] - cells["paper"]
    tolerance = (cells["half_unit"] + errors.where(known, 0)).where(cells["mean"].notna())
    within = difference.abs() <= tolerance + ROUNDING
    verdict = pd.Series(NumberVerdict.DIFFERS.value, cells.index)
    verdict = verdict.mask(~known, NumberVerdict.UNDECIDED).mask(within, NumberVerdict.AGREES)
    if not is_paper_scale:
        verdict[:] = NumberVerdict.NOT_COMPARABLE.value
    verdict = verdict.mask(cells["n"] == 0, NumberVerdict.NOT_MEASURED).mask(cells["paper"].isna(), "")
    reason = pd.Series("rounding only: one seed tells no spread", cells.index)
    reason = reason.mask(known, f"rounding and {rules['deviations']} standard errors")
    return cells.assign(
        difference=difference, tolerance=tolerance, reason=reason.where(tolerance.notna(), ""), verdict=verdict
    )


def expected_deviations(stored: pd.DataFrame, edge: float) -> pd.Series:
    """Of each stored cell the standard deviation over seeds: its own, or the one expected at its mean if that is more.

    With few seeds a cell's own may be small by chance. How much seeds vary depends on the mean m: as m (1 - m) for
    shares, which have no room at 0 and 1, as 1 - m squared for numbers in [-1, 1], and as m squared for others. The
    factor is that of all specs together, for each metric and layer. A share nearer to 0 or 1 than `edge` is taken to
    lie there: a few features may all be alike.
    """
    near = stored["mean"].clip(edge, 1 - edge)
    room = (near * (1 - near)).mask(stored["metric"].isin(unbounded_metrics()), stored["mean"] ** 2)
    room = room.mask(stored["metric"].isin(signed_metrics()), 1 - stored["mean"] ** 2)
    sums = pd.DataFrame({"variance": stored["sd"] ** 2, "room": room}).groupby([stored["metric"], stored["layer"]])
    factor = sums["variance"].transform("sum") / sums["room"].transform("sum")
    return np.fmax(stored["sd"], np.sqrt(factor * room))
