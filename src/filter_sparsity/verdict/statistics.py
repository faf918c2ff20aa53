"""The statistics behind the verdicts: intervals, p-values of regions, deviations and tolerances. Torch-free.

How they are chosen, and why, is in docs/verdicts.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypedDict

import numpy as np
import pandas as pd

from ..metrics import signed_metrics, unbounded_metrics
from ..parts import Region
from .verdicts import NumberVerdict

CONFIDENCE = 0.9  # of an interval; each of its ends is tested at half of the rest
LEVEL = (1 - CONFIDENCE) / 2  # of a test
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


def confidence_interval(values: pd.Series) -> Interval:
    """The mean of the values and its interval by Student's t."""
    n = len(values)
    if n < 2:
        return Interval(float(values.mean()) if n else math.nan, math.nan, math.nan, n)
    mean, half = float(values.mean()), _quantile(n - 1) * float(values.std()) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def _quantile(df: float) -> float:
    """Student's t with CONFIDENCE between minus this and this."""
    from scipy.stats import t

    return float(t.ppf(1 - LEVEL, df))


class Evidence(Protocol):
    """What is known of a quantity: its value, its interval of CONFIDENCE, and p-values against bounds."""

    @property
    def value(self) -> float: ...

    @property
    def interval(self) -> tuple[float, float]: ...

    def above(self, bound: float) -> float:
        """The p-value of "the quantity is not above the bound": small if it is clearly above."""
        ...

    def below(self, bound: float) -> float:
        """The p-value of "the quantity is not below the bound": small if it is clearly below."""
        ...


class Sample(NamedTuple):
    """The runs of one spec: their mean, the variance of one run, its degrees of freedom, and the number of runs."""

    mean: float
    variance: float
    df: float
    n: int


class Estimate(NamedTuple):
    """A mean over seeds, or a difference of two: with its standard error, and the degrees of freedom of that."""

    value: float
    error: float
    df: float

    @property
    def interval(self) -> tuple[float, float]:
        half = _quantile(self.df) * self.error
        return self.value - half, self.value + half

    def above(self, bound: float) -> float:
        return self._tail(self.value - bound + ROUNDING)

    def below(self, bound: float) -> float:
        return self._tail(bound - self.value + ROUNDING)

    def _tail(self, distance: float) -> float:
        """How probable it is by chance that the value is so far on the right side of a bound."""
        from scipy.stats import t

        if self.error == 0:
            return float(distance < 0)
        return float(t.sf(distance / self.error, self.df))


class Range(NamedTuple):
    """A quantity of which CONFIDENCE of all repeats lie in a known range; what lies all in a region is certain."""

    value: float
    interval: tuple[float, float]

    def above(self, bound: float) -> float:
        return float(self.interval[0] < bound - ROUNDING)

    def below(self, bound: float) -> float:
        return float(self.interval[1] > bound + ROUNDING)


def estimate(spec: Sample, baseline: Sample | None = None) -> Estimate:
    """The mean of a spec's runs, or its difference to that of a baseline's (Welch: each with its own variance)."""
    sides = [spec] if baseline is None else [spec, baseline]
    squares = [side.variance / side.n for side in sides]
    error = math.sqrt(sum(squares))
    spread = sum(square**2 / side.df for square, side in zip(squares, sides, strict=True))
    df = sum(squares) ** 2 / spread if spread else 1.0
    return Estimate(spec.mean - (baseline.mean if baseline else 0.0), error, df)


def p_values(region: Region, bound: float, quantity: Evidence) -> tuple[float, float]:
    """The p-values of "the quantity is not in the region" and of "it is"; the region's ends belong to it.

    If the first is small, it is in the region; if the second is, it is not. `within` takes two one-sided tests.
    """
    above, below = quantity.above, quantity.below
    outside = min(above(bound), below(-bound)) if region in ("within", "outside") else 1.0
    inside = max(below(bound), above(-bound)) if region in ("within", "outside") else 1.0
    return {
        "at_least": (above(bound), below(bound)),
        "at_most": (below(bound), above(bound)),
        "within": (inside, outside),
        "outside": (outside, inside),
    }[region]


def lies_in(region: Region, bound: float, value: float) -> bool:
    """Whether a value is in the region, however sure it is."""
    inside, _ = p_values(region, bound, Range(value, (value, value)))
    return inside == 0


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted by Holm: any of them is at most α by chance, where none should be, in at most α of all cases."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(p) for p in adjusted]


def compare_with_paper(cells: pd.DataFrame, rules: PaperRules, is_paper_scale: bool) -> pd.DataFrame:
    """Cells with the difference to the paper's value, the tolerance and its reason, and the verdict.

    The tolerance is half a unit of the last printed digit, and `deviations` standard errors of the difference between
    our mean of n runs and the paper's of `seeds`. Both are taken to spread as our seeds do: as those of this row, or as
    all rows of the column together where that is more, since a few seeds may be alike by chance. A cell is undecided
    where it is off by more than rounding and no row has two seeds to tell the spread by. Where every share from 0 to 1
    is within the tolerance, it cannot tell. Nothing is comparable unless the scale is the paper's. The verdict is empty
    where the paper prints nothing.
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
    verdict = verdict.mask(covers_all_shares(cells["metric"], cells["paper"], tolerance), NumberVerdict.CANNOT_TELL)
    if not is_paper_scale:
        verdict[:] = NumberVerdict.NOT_COMPARABLE.value
    verdict = verdict.mask(cells["n"] == 0, NumberVerdict.NOT_MEASURED).mask(cells["paper"].isna(), "")
    reason = pd.Series("rounding only: one seed tells no spread", cells.index)
    reason = reason.mask(known, f"rounding and {rules['deviations']} standard errors")
    return cells.assign(
        difference=difference, tolerance=tolerance, reason=reason.where(tolerance.notna(), ""), verdict=verdict
    )


def covers_all_shares(metrics: pd.Series, centre: pd.Series, tolerance: pd.Series) -> pd.Series:
    """Where a tolerance around a value says nothing: the metric is a share, and all of 0 to 1 lies within."""
    is_share = ~metrics.isin(unbounded_metrics())
    return is_share & (centre - tolerance <= 0) & (centre + tolerance >= 1)


def spread_by_mean(lines: pd.DataFrame, edge: float = 0.0) -> pd.Series:
    """Of each line the variance over seeds that is expected at its mean, if specs spread alike.

    How much seeds vary depends on the mean m: as m (1 - m) for shares, which have no room at 0 and 1, as 1 - m squared
    for correlations and others from -1 to 1, and as m squared for other numbers. The factor is that of all specs
    together, for each metric and layer; a spec's degrees of freedom are its weight. A share nearer to 0 or 1 than
    `edge` is taken to lie there: a few features may all be alike. `lines` are as `record.over_seeds` gives them.
    """
    near, square = lines["mean"].clip(edge, 1 - edge), lines["mean"] ** 2
    room = (near * (1 - near)).mask(lines["metric"].isin(unbounded_metrics()), square)
    room = room.mask(lines["metric"].isin(signed_metrics()), 1 - square)
    weight = lines["n"] - 1
    sums = pd.DataFrame({"variance": weight * lines["sd"] ** 2, "room": weight * room})
    sums = sums.groupby([lines["metric"], lines["layer"]]).transform("sum")
    return sums["variance"] / sums["room"].where(sums["room"] > 0, 1) * room


def expected_deviations(stored: pd.DataFrame, edge: float) -> pd.Series:
    """Of each stored cell the standard deviation over seeds: its own, or the one expected at its mean if that is more.

    With few seeds a cell's own may be small by chance.
    """
    return np.fmax(stored["sd"], np.sqrt(spread_by_mean(stored, edge)))


def moderated(lines: pd.DataFrame, prior_df: float) -> pd.DataFrame:
    """Of each line the `variance` over seeds, drawn towards the one expected at its mean, and its `df`.

    The expected variance counts as one with `prior_df` degrees of freedom, but never with more than the other specs
    have together (moderated variance: Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3).
    """
    own = lines["n"] - 1
    others = own.groupby([lines["metric"], lines["layer"]]).transform("sum") - own
    prior = others.clip(upper=prior_df)
    df = own + prior
    variance = (own * lines["sd"].fillna(0) ** 2 + prior * spread_by_mean(lines)) / df.where(df > 0)
    return lines.assign(variance=variance, df=df)
