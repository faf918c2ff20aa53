"""Claims: sentences of the supplement as predicates on records, with an effect and a verdict. Torch-free.

A claim holds if all of its tests do. A test is about one quantity: a metric of a `spec`, or its difference to that of
a `baseline`, seed by seed; or a scalar at the end of a simulation. It says where the quantity must lie: `at_least`,
`at_most`, `within` or `outside` a distance from 0. The quantity is known as an interval: the mean over the seeds, give
or take what Student's t says of 90 % confidence, and never less than one feature more or less makes of a share of them.
So each side is tested at 5 %, and equivalence by two one-sided tests. The test is confirmed if the whole interval lies
there, refuted if none of it does, and undecided else; one seed decides nothing, nor do runs that did not start up, did
not learn, or had too few steps to lose a filter by decay: `reason` says so. A test may be a `precondition`: unless it
is confirmed, the claim is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from ..metrics import GAMMA_THRESHOLD, METRICS, Kind
from ..parts import ClaimSide, ClaimTest, Region
from ..plan import Plan
from ..planning.validation import read_yaml
from ..records import record
from ..spec import short
from .aggregate import read_records
from .soundness import describe_faults, faults
from .statistics import REGIONS, confidence_interval, judge_interval
from .verdicts import ClaimVerdict

COLUMNS = (
    "id",
    "statement",
    "place",
    "basis",
    "quantity",
    "precondition",
    "wanted",
    "found",
    "effect",
    "low",
    "high",
    "n",
    "verdict",
    "reason",
    "claim_verdict",
    "spec",
    "baseline",
    "seeds",
)
NAMES = {
    "adam": "Adam",
    "sgd": "SGD",
    "amsgrad": "AMSGrad",
    "adamax": "Adamax",
    "rmsprop": "RMSProp",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
}
DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "digit_pairs": "digit pairs"}


class JudgedTest(TypedDict):
    """What was decided of a test: the columns of claims.csv that are its own."""

    basis: str  # networks, or a simulation
    quantity: str
    wanted: str
    found: str
    effect: float
    low: float
    high: float
    n: int
    verdict: ClaimVerdict
    reason: str  # why runs that were measured cannot decide it
    precondition: bool
    spec: str  # spec ids of the quantity: its spec, and its baseline
    baseline: str
    seeds: str


def judge_claims(plan: Plan, runs: Path, simulations: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every test of every claim: its quantity, the effect and its interval, n, and the verdicts.

    `reason` says why runs that were measured cannot decide a test; it is empty where they can, or where more seeds may.
    `spec`, `baseline` and `seeds` say of which runs the quantity is, by spec id; a simulation has none. `basis` is what
    decides it: `networks`, or a `simulation`, which is the same at every scale.
    """
    wanted = {
        side["spec_id"]
        for claim in plan.claims
        for test in claim["tests"]
        for side in _sides(test)
        if "spec_id" in side
    }
    compared = [spec for spec in plan.specs if spec in wanted]
    measured = record.tidy(read_records(plan, compared, runs))
    spec_faults = faults(measured, plan, read_yaml(tolerances)["health"])
    values = measured.set_index(["spec_id", "metric", "layer", "seed"])["value"].sort_index()
    lines = []
    for claim in plan.claims:
        tests = [_test(test, values, spec_faults, simulations, plan) for test in claim["tests"]]
        verdict = combine([(test["verdict"], test["precondition"]) for test in tests])
        own = {key: claim[key] for key in ("id", "statement", "place")}
        lines += [{**own, **test, "claim_verdict": verdict} for test in tests]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _sides(test: ClaimTest) -> list[ClaimSide]:
    return [test["spec"], *([test["baseline"]] if "baseline" in test else [])]


def _test(
    test: ClaimTest, values: pd.Series, spec_faults: dict[str, dict[str, str]], simulations: Path, plan: Plan
) -> JudgedTest:
    region, differs = next(r for r in REGIONS if r in test), "baseline" in test
    fault = slow = ""
    if "simulated" in test:
        by_seed = pd.Series(dtype=float)
        effect, low, high, n = _simulated(test, simulations / f"{test['simulated']}.csv")
    else:
        by_seed = _by_seed(test, values)
        effect, low, high, n = confidence_interval(by_seed, one_feature(test, plan))
        if METRICS[test["metric"]].kind != Kind.NUMBER:  # few seeds' interval may reach beyond what shares can be
            low, high = np.clip((low, high), -1.0 if differs else 0.0, 1.0)
        fault, slow = _faulty(test, spec_faults, plan), _too_slow(test, values, plan)
    # Where decay is too slow, more filters may be lost in more steps: a share is a lower bound, a difference no bound.
    ends = (-math.inf if differs else low, math.inf) if slow else (low, high)
    verdict = _test_verdict(region, test[region], ends, n, fault)
    sign = {"at_least": "≥", "at_most": "≤", "within": "within ±", "outside": "beyond ±"}[region]
    wanted = f"{sign} {number(test[region], test['metric'], differs, signed=False)}"
    wanted = f"given {wanted}" if test.get("precondition") else wanted
    found = number(effect, test["metric"], differs, signed=differs)
    if not math.isnan(low):
        found += f" ({' to '.join(number(end, test['metric'], differs, differs, unit=False) for end in (low, high))})"
    return {
        "basis": "simulation" if "simulated" in test else "networks",
        "quantity": quantity(test, plan),
        "wanted": wanted,
        "found": found,
        "effect": effect,
        "low": low,
        "high": high,
        "n": n,
        "verdict": verdict,
        "reason": "; ".join(filter(None, (fault, slow))) if verdict == ClaimVerdict.UNDECIDED else "",
        "precondition": bool(test.get("precondition")),
        "spec": test["spec"].get("spec_id", ""),
        "baseline": test.get("baseline", {}).get("spec_id", ""),
        "seeds": " ".join(map(str, by_seed.index)),
    }


def _test_verdict(region: Region, bound: float, ends: tuple[float, float], n: int, fault: str) -> ClaimVerdict:
    if n == 0:
        return ClaimVerdict.NOT_MEASURED
    if n == 1 or fault:
        return ClaimVerdict.UNDECIDED
    return judge_interval(region, bound, *ends)


def _by_seed(test: ClaimTest, values: pd.Series) -> pd.Series:
    """The quantity of each seed that all sides have."""
    sides = [_measured(values, side["spec_id"], test["metric"], test["layer"]) for side in _sides(test)]
    return sides[0] if len(sides) == 1 else (sides[0] - sides[1]).dropna()


def _measured(values: pd.Series, *key: str) -> pd.Series:
    """Of each seed that has it, the measurement of a spec, by metric and layer."""
    try:
        return values.xs(key)
    except KeyError:
        return pd.Series(dtype=float)


def _faulty(test: ClaimTest, spec_faults: dict[str, dict[str, str]], plan: Plan) -> str:
    """Which sides of a test have runs that did not start up or did not learn, and how it shows; empty if none."""
    sides = zip(_sides(test), _labels(test, plan)[1], strict=True)
    faulty = [(name, spec_faults[side["spec_id"]]) for side, name in sides if side["spec_id"] in spec_faults]
    return "; ".join(f"{name}: {describe_faults(own)}" for name, own in faulty)


def _too_slow(test: ClaimTest, values: pd.Series, plan: Plan) -> str:
    """Which sides of a test of filters lost could lose none by decay, and how far that goes; empty if all could."""
    if test["metric"] != "sparsity_by_gamma":
        return ""
    reasons = []
    for side, name in zip(_sides(test), _labels(test, plan)[1], strict=True):
        floor = _measured(values, side["spec_id"], "decay_floor", "").max()
        if floor > GAMMA_THRESHOLD:
            least = short(float(f"{floor:.1g}"))
            reasons.append(f"{name}: decay alone cannot take a scale below {least} in so few steps")
    return "; ".join(reasons)


def one_feature(test: ClaimTest, plan: Plan) -> float:
    """The deviation that a share of features has at least: one feature more or less. 0 of what counts no features."""
    if METRICS[test["metric"]].kind != Kind.FEATURES:
        return 0.0
    networks = [plan.specs[side["spec_id"]].network for side in _sides(test) if side["spec_id"] in plan.specs]
    return math.hypot(*(1 / network.features(test["layer"]) for network in networks))


def combine(tests: list[tuple[ClaimVerdict, bool]]) -> ClaimVerdict:
    """A claim's verdict, from each test's verdict and whether that test is a precondition.

    One refuted test refutes the claim, and all must be confirmed to confirm it. If a precondition does not hold, the
    claim is undecided, whatever else is measured: that nothing changes the sparsity means nothing where there is none.
    """
    preconditions = [verdict for verdict, is_precondition in tests if is_precondition]
    if ClaimVerdict.REFUTED in preconditions:
        return ClaimVerdict.UNDECIDED
    order = [ClaimVerdict.NOT_MEASURED, ClaimVerdict.UNDECIDED]
    if all(verdict == ClaimVerdict.CONFIRMED for verdict in preconditions):
        order.insert(0, ClaimVerdict.REFUTED)
    verdicts = [verdict for verdict, _ in tests]
    return next((verdict for verdict in order if verdict in verdicts), ClaimVerdict.CONFIRMED)


def _simulated(test: ClaimTest, path: Path) -> tuple[float, float, float, int]:
    """The scalar at the end, or how much higher it is: of the repeats' medians, with the ends of their ranges of 90 %.

    The range of a difference goes from the lower end of one to the upper end of the other: it has more than 90 %.
    """
    if not path.exists():
        return math.nan, math.nan, math.nan, 0
    frame = pd.read_csv(path)
    ends = []
    for side in _sides(test):
        curve = (
            frame[["panel", "regularizer", "strength"]] == [side["panel"], side["regularizer"], side["strength"]]
        ).all(axis=1)
        ends.append(frame[curve].iloc[-1])
    spec, baseline = ends[0], ends[1] if len(ends) > 1 else {"median": 0.0, "low": 0.0, "high": 0.0}
    low, high = spec["low"] - baseline["high"], spec["high"] - baseline["low"]
    return spec["median"] - baseline["median"], low, high, test["repeats"]


def quantity(test: ClaimTest, plan: Plan) -> str:
    """What a test is about, in short: `CIFAR-10, sparsity of C6: Adam L2 1e-3 - SGD L2 1e-3`.

    The data are those that the scale trains on, which may stand in for the published ones.
    """
    common, labels = _labels(test, plan)
    where = f" of {test['layer']}" if test["layer"] not in ("", "total") else ""
    metric = METRICS[test["metric"]].label
    return f"{DATASETS.get(common, common)}{', ' if common else ''}{metric}{where}: {' − '.join(labels)}"


def _labels(test: ClaimTest, plan: Plan) -> tuple[str, list[str]]:
    """The data that the sides of a test share, empty if they do not, and each side's settings as its label."""
    trained = {spec_id: {"dataset": spec.dataset} for spec_id, spec in plan.specs.items()}
    settings = [side["settings"] | trained.get(side.get("spec_id", ""), {}) for side in _sides(test)]
    data = {str(own.get("dataset", "")) for own in settings}
    common = data.pop() if len(data) == 1 else ""
    return common, [label({**own, "dataset": "" if common else own.get("dataset", "")}) for own in settings]


def label(settings: Mapping[str, Any]) -> str:
    """Settings as a reader of the tables knows them."""
    data = settings["dataset"].rpartition("_")[2]  # plain or cluttered
    parts = [data, NAMES.get(settings["optimizer"], settings["optimizer"])]
    parts += [f"{name} {short(settings[key])}" for key, name in (("l2", "L2"), ("wd", "WD")) if key in settings]
    extra = {"negative_slope": "slope", "beta_init": "β_init", "gamma_init": "γ_init"}
    extra |= {"gamma_rate_scale": "γ's rate ×", "beta_rate_scale": "β's rate ×"}
    parts += [f"{name} {short(settings[key])}".replace(" -", " −") for key, name in extra.items() if key in settings]
    return " ".join(part for part in parts if part)


def number(value: float, metric: str, differs: bool, signed: bool, unit: bool = True) -> str:
    """A share in percent, a difference of shares in points; a loss or a scalar as it is."""
    if math.isnan(value):
        return "–"
    plain = METRICS[metric].kind == Kind.NUMBER
    digits = 2 if plain else 1
    rounded = round(value if plain else 100 * value, digits) or 0.0  # which has no sign
    text = f"{rounded:{'+' if signed and rounded else ''}.{digits}f}".replace("-", "−")
    return text if plain or not unit else f"{text} {'points' if differs else '%'}"
