"""Claims: sentences of the supplement as predicates on records, with an effect and a verdict. Torch-free.

A test of a claim is about one quantity: a metric of a `spec`, or its difference to that of a `baseline`; or a time in a
simulation, or how many times as long it is as a baseline's. It says where the quantity must lie: `at_least`, `at_most`,
`within` or `outside` a distance from 0. Whether it lies there is told from the seeds of each spec, with the variances
of `statistics.moderated` and never less than one feature more or less makes of a share of them; a difference is one of
two samples. The test is confirmed or refuted if chance explains that in at most 5 % of all cases, and undecided else.
One seed decides nothing, nor do runs that did not start up, did not learn, or had too few steps to lose a filter by
decay: `reason` says so.

A claim holds if all of its tests do (or, with `holds_if: any`, one). The tests of which one would decide are adjusted
for their number by Holm. A test may be a `precondition`: unless it is confirmed, the claim is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd

from ..metrics import GAMMA_THRESHOLD, METRICS, Kind
from ..parts import REGIONS, Claim, ClaimSide, ClaimTest
from ..paths import simulation_files
from ..plan import Plan
from ..planning.validation import read_yaml
from ..records import record
from ..spec import short
from . import labels
from .aggregate import read_records
from .labels import side_labels, sides_of
from .soundness import describe_faults, faults
from .statistics import LEVEL, Estimate, Evidence, Range, Sample, estimate, holm, lies_in, moderated, p_values
from .verdicts import ClaimVerdict


class JudgedTest(TypedDict):
    """What was decided of a test: the columns of claims.csv that are its own."""

    basis: str  # networks, or a simulation
    quantity: str
    wanted: str
    found: str
    effect: float
    lies: str  # inside or outside of what is wanted, however sure; empty if not measured
    low: float  # of the interval of 90 %
    high: float
    n: int  # seeds, of the side that has fewer; of a simulation, repeats
    p_confirmed: float  # how probable such a result is by chance, if the quantity is not where it must lie
    p_refuted: float  # and if it is
    verdict: ClaimVerdict
    reason: str  # why runs that were measured cannot decide it
    precondition: bool
    spec: str  # spec ids of the quantity: its spec, and its baseline
    baseline: str
    seeds: str  # of the spec
    baseline_seeds: str


COLUMNS = ("id", "statement", "place", "origin", *JudgedTest.__annotations__, "claim_verdict")


class Rules(TypedDict):
    """The parts of the tolerances that claims need."""

    claims: dict[str, float]
    health: dict[str, float]


class Limited(NamedTuple):
    """An estimate that cannot decide all: at most what the quantity is above, or nothing."""

    evidence: Estimate
    sure: bool  # whether the quantity is above what the estimate is above

    @property
    def value(self) -> float:
        return self.evidence.value

    @property
    def interval(self) -> tuple[float, float]:
        return self.evidence.interval

    def above(self, bound: float) -> float:
        return self.evidence.above(bound) if self.sure else 1.0

    def below(self, bound: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Measurements:
    """What a plan's runs measured, for the tests of its claims."""

    plan: Plan
    values: pd.Series  # by spec id, metric, layer and seed
    samples: dict[tuple[str, str, str], Sample]  # by spec id, metric and layer
    faults: dict[str, dict[str, str]]  # of specs that cannot decide anything (`soundness.faults`)
    simulations: Path

    def of_spec(self, side: ClaimSide, metric: str, layer: str) -> pd.Series:
        """Of each seed that has it, the measurement of a side of a test."""
        try:
            return self.values.xs((side["spec_id"], metric, layer))
        except KeyError:
            return pd.Series(dtype=float)

    def sample(self, side: ClaimSide, metric: str, layer: str) -> Sample:
        """The runs of a side, two or more."""
        sample = self.samples[side["spec_id"], metric, layer]
        return sample._replace(variance=max(sample.variance, self.one_feature(side, metric, layer) ** 2))

    def one_feature(self, side: ClaimSide, metric: str, layer: str) -> float:
        """The deviation that a share of features has at least: one feature more or less. 0 of what counts no features.

        A share of living features is one of those alone.
        """
        known = METRICS[metric]
        if known.kind != Kind.FEATURES:
            return 0.0
        features = float(self.plan.specs[side["spec_id"]].network.features(layer))
        if known.of_living:
            features *= 1 - float(self.of_spec(side, "sparsity_by_gamma", layer).mean())
        return 1 / max(features, 1.0)


def judge_claims(plan: Plan, runs: Path, simulations: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every test of every claim: its quantity, the effect and its interval, n, and the verdicts.

    `reason` says why runs that were measured cannot decide a test; it is empty where they can, or where more seeds may.
    `spec`, `baseline` and their seeds say of which runs the quantity is, by spec id; a simulation has none. `basis` is
    what decides it: `networks`, or a `simulation`, which is the same at every scale. `origin` is who asks: the
    `supplement`, or it is a question of `ours`.
    """
    measured = record.tidy(read_records(plan, plan.specs, runs))
    measurements = take_measurements(plan, measured, read_yaml(tolerances), simulations)
    judged = []
    for claim in plan.claims:
        tests = judge_claim(claim, measurements)
        decided = [(test["verdict"], test["precondition"]) for test in tests]
        own = {key: claim[key] for key in ("id", "statement", "place")} | {"origin": claim.get("origin", "supplement")}
        verdict = combine(decided, claim.get("holds_if", "all"))
        judged += [{**own, **test, "claim_verdict": verdict} for test in tests]
    return pd.DataFrame(judged, columns=list(COLUMNS))


def take_measurements(plan: Plan, measured: pd.DataFrame, rules: Rules, simulations: Path) -> Measurements:
    """What claims are judged by. `measured` is as `record.tidy` gives it, `rules` are the tolerances."""
    lines, unsound = with_differences(measured), faults(measured, plan, rules["health"])
    # A run that did not learn says nothing of how much the seeds of others vary.
    parts = (lines[lines["spec_id"].isin(unsound) == bad] for bad in (False, True))
    spread = pd.concat([moderated(record.over_seeds(part), rules["claims"]["prior_df"]) for part in parts])
    return Measurements(
        plan,
        lines.set_index(["spec_id", "metric", "layer", "seed"])["value"].sort_index(),
        {
            (line["spec_id"], line["metric"], line["layer"]): Sample(*(line[name] for name in Sample._fields))
            for line in spread.to_dict("records")
        },
        unsound,
        simulations,
    )


def with_differences(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines of measurements, and of the metrics that are the difference of two of them, run by run."""
    keys = ["spec_id", "seed", "metric", "layer"]
    values = lines.set_index(keys)["value"]
    frames = [lines]
    for metric in METRICS.values():
        if metric.difference_of and {*metric.difference_of} <= {*lines["metric"]}:
            one, other = (values.xs(name, level="metric") for name in metric.difference_of)
            frames.append((one - other).dropna().reset_index().assign(metric=metric.name))
    return pd.concat(frames, ignore_index=True)


def judge_claim(claim: Claim, measurements: Measurements) -> list[JudgedTest]:
    """The claim's tests, each decided at 5 %; those of which one decides the claim, together at 5 %."""
    tests = [_weigh(test, measurements) for test in claim["tests"]]
    alone: Literal["p_confirmed", "p_refuted"] = "p_confirmed" if claim.get("holds_if") == "any" else "p_refuted"
    family = [test for test in tests if not test["precondition"]]
    for test, p in zip(family, holm([test[alone] for test in family]), strict=True):
        test[alone] = p
    for test in tests:
        test["verdict"] = _verdict(test)
        if test["verdict"] != ClaimVerdict.UNDECIDED:
            test["reason"] = ""
    return tests


def _verdict(test: JudgedTest) -> ClaimVerdict:
    if test["n"] == 0:
        return ClaimVerdict.NOT_MEASURED
    if test["p_confirmed"] <= LEVEL:
        return ClaimVerdict.CONFIRMED
    return ClaimVerdict.REFUTED if test["p_refuted"] <= LEVEL else ClaimVerdict.UNDECIDED


def _weigh(test: ClaimTest, measurements: Measurements) -> JudgedTest:
    """The test with its quantity and p-values, which are 1 where nothing can be decided; it has no verdict yet."""
    differs, plan = "baseline" in test, measurements.plan
    region = next(region for region in REGIONS if region in test)
    evidence: Evidence | None
    seeds, reason = ["", ""], ""
    if "simulated" in test:
        evidence, n = _simulated(test, measurements.simulations)
        value = evidence.value if evidence else math.nan
    else:
        values = [measurements.of_spec(side, test["metric"], test["layer"]) for side in sides_of(test)]
        seeds = [" ".join(map(str, own.index)) for own in values] + [""]
        n = min(map(len, values))
        value = float(values[0].mean() - (values[1].mean() if differs else 0.0))
        evidence, reason = _of_networks(test, measurements, n)
    low, high = evidence.interval if evidence else (math.nan, math.nan)
    if METRICS[test["metric"]].kind != Kind.NUMBER:  # few seeds' interval may reach beyond what shares can be
        low, high = np.clip((low, high), -1.0 if differs or METRICS[test["metric"]].signed else 0.0, 1.0)
    p_confirmed, p_refuted = p_values(region, test[region], evidence) if evidence else (1.0, 1.0)
    return {
        "basis": "simulation" if "simulated" in test else "networks",
        "quantity": labels.quantity(test, plan),
        "wanted": labels.bound(test),
        "found": labels.found(value, low, high, test["metric"], differs),
        "effect": value,
        "lies": ("inside" if lies_in(region, test[region], value) else "outside") if n else "",
        "low": low,
        "high": high,
        "n": n,
        "p_confirmed": p_confirmed,
        "p_refuted": p_refuted,
        "verdict": ClaimVerdict.UNDECIDED,
        "reason": reason,
        "precondition": bool(test.get("precondition")),
        "spec": test["spec"].get("spec_id", ""),
        "baseline": test.get("baseline", {}).get("spec_id", ""),
        "seeds": seeds[0],
        "baseline_seeds": seeds[1],
    }


def _of_networks(test: ClaimTest, measurements: Measurements, n: int) -> tuple[Evidence | None, str]:
    """What n seeds say of a test's quantity, nothing if they are fewer than two, and why that cannot decide all, if so.

    Where decay is too slow, more filters may be lost in more steps: a share is a lower bound, a difference no bound.
    """
    fault, slow = _faulty(test, measurements), _too_slow(test, measurements)
    reason = "; ".join(filter(None, (fault, slow))) if n else ""
    if n < 2:
        return None, reason
    known = estimate(*(measurements.sample(side, test["metric"], test["layer"]) for side in sides_of(test)))
    return Limited(known, sure=not fault and "baseline" not in test) if reason else known, reason


def _faulty(test: ClaimTest, measurements: Measurements) -> str:
    """Which sides of a test have runs that did not start up or did not learn, and how it shows; empty if none."""
    sides = zip(sides_of(test), side_labels(test, measurements.plan)[1], strict=True)
    named = [(name, measurements.faults.get(side["spec_id"])) for side, name in sides]
    return "; ".join(f"{name}: {describe_faults(own)}" for name, own in named if own)


def _too_slow(test: ClaimTest, measurements: Measurements) -> str:
    """Which sides of a test of filters lost could lose none by decay, and how far that goes; empty if all could."""
    if test["metric"] != "sparsity_by_gamma":
        return ""
    reasons = []
    for side, name in zip(sides_of(test), side_labels(test, measurements.plan)[1], strict=True):
        floor = measurements.of_spec(side, "decay_floor", "").max()
        if floor > GAMMA_THRESHOLD:
            least = short(float(f"{floor:.1g}"))
            reasons.append(f"{name}: decay alone cannot take a scale below {least} in so few steps")
    return "; ".join(reasons)


def combine(tests: Sequence[tuple[ClaimVerdict, bool]], holds_if: Literal["all", "any"] = "all") -> ClaimVerdict:
    """A claim's verdict, from each test's verdict and whether that test is a precondition.

    If `all` tests must hold, one refuted test refutes the claim, and all must be confirmed to confirm it. If `any` may,
    it is the other way round. If a precondition does not hold, the claim is undecided, whatever else is measured: that
    nothing changes the sparsity means nothing where there is none.
    """
    alone, together = ClaimVerdict.REFUTED, ClaimVerdict.CONFIRMED
    if holds_if == "any":
        alone, together = together, alone
    preconditions = [verdict for verdict, is_precondition in tests if is_precondition]
    verdicts = [verdict for verdict, is_precondition in tests if not is_precondition]
    if ClaimVerdict.REFUTED in preconditions:
        return ClaimVerdict.UNDECIDED
    if alone in verdicts and all(verdict == ClaimVerdict.CONFIRMED for verdict in preconditions):
        return alone
    order = (ClaimVerdict.NOT_MEASURED, ClaimVerdict.UNDECIDED)
    return next((verdict for verdict in order if verdict in [*preconditions, *verdicts]), together)


def _simulated(test: ClaimTest, simulations: Path) -> tuple[Range | None, int]:
    """How long a simulated scalar takes to fall to half, or how many times as long as the baseline's; and repeats.

    The range of a ratio goes from the lower end of one over the upper end of the other to the reverse: it holds more
    than 90 %. A time that no repeat reached is infinite, and its lower end is where the simulation ended.
    """
    _, path = simulation_files(simulations, test["simulated"])
    if not path.exists():
        return None, 0
    frame = pd.read_csv(path).set_index(["panel", "regularizer", "strength"]).to_dict("index")
    times = [frame[side["panel"], side["regularizer"], side["strength"]] for side in sides_of(test)]
    spec, baseline = times[0], times[1] if len(times) > 1 else {"median": 1.0, "low": 1.0, "high": 1.0}
    ends = spec["low"] / baseline["high"], spec["high"] / baseline["low"]
    return Range(spec["median"] / baseline["median"], ends), test["repeats"]
