"""What a claim's quantities and numbers are called in tables, figures and the report. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..metrics import METRICS, Kind
from ..parts import ClaimSide, ClaimTest, Region
from ..paths import shrunk_from
from ..plan import Plan
from ..spec import short

NAMES = {
    "adam": "Adam",
    "sgd": "SGD",
    "amsgrad": "AMSGrad",
    "adamax": "Adamax",
    "rmsprop": "RMSProp",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "adamw": "AdamW",
    "nadam": "NAdam",
    "radam": "RAdam",
    "adafactor": "Adafactor",
}
DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "digit_pairs": "digit pairs"}
REGULARIZERS = {"l2": "L2", "wd": "WD", "decoupled": "decoupled"}
REGION_SIGNS: dict[Region, str] = {"at_least": "≥", "at_most": "≤", "within": "within ±", "outside": "beyond ±"}


def sides_of(test: ClaimTest) -> list[ClaimSide]:
    """The spec of a test, and its baseline if it has one."""
    return [test["spec"], *([test["baseline"]] if "baseline" in test else [])]


def quantity(test: ClaimTest, plan: Plan) -> str:
    """What a test is about, in short: `CIFAR-10, sparsity of C6: Adam L2 1e-3 − SGD L2 1e-3`.

    The data are those that the scale trains on, which may stand in for the published ones.
    """
    common, labels = side_labels(test, plan)
    where = f" of {test['layer']}" if test["layer"] not in ("", "total") else ""
    metric = METRICS[test["metric"]]
    sign = " ÷ " if metric.is_duration else " − "
    return f"{dataset_name(common)}{', ' if common else ''}{metric.label}{where}: {sign.join(labels)}"


def dataset_name(name: str) -> str:
    """A data set as a reader knows it: `CIFAR-10 at 16x16`; of renders only whether they are plain or cluttered."""
    if shrunk := shrunk_from(name):
        base, side = shrunk
        return f"{dataset_name(base)} at {side}x{side}"
    return DATASETS.get(name, name.rpartition("_")[2])


def side_labels(test: ClaimTest, plan: Plan) -> tuple[str, list[str]]:
    """The data that the sides of a test share, empty if they do not, and each side's settings as its label."""
    trained = {spec_id: {"dataset": spec.dataset} for spec_id, spec in plan.specs.items()}
    settings = [side["settings"] | trained.get(side.get("spec_id", ""), {}) for side in sides_of(test)]
    data = {str(own.get("dataset", "")) for own in settings}
    common = data.pop() if len(data) == 1 else ""
    return common, [label({**own, "dataset": "" if common else own.get("dataset", "")}) for own in settings]


def label(settings: Mapping[str, Any]) -> str:
    """Settings as a reader of the tables knows them: `CIFAR-10 Adam L2 1e-4 slope 0.1`."""
    parts = [dataset_name(settings["dataset"]), NAMES.get(settings["optimizer"], settings["optimizer"])]
    parts += [f"{name} {short(settings[key])}" for key, name in REGULARIZERS.items() if key in settings]
    extra = {"negative_slope": "slope", "beta_init": "β_init", "gamma_init": "γ_init"}
    extra |= {"gamma_rate_scale": "γ's rate ×", "beta_rate_scale": "β's rate ×"}
    parts += [f"{name} {short(settings[key])}".replace(" -", " −") for key, name in extra.items() if key in settings]
    return " ".join(part for part in parts if part)


def bound(test: ClaimTest) -> str:
    """Where the quantity of a test must lie: `≥ 5.0 points`."""
    region = next(region for region in REGION_SIGNS if region in test)
    wanted = number(test[region], test["metric"], "baseline" in test, signed=False)
    return f"{'only if ' if test.get('precondition') else ''}{REGION_SIGNS[region]} {wanted}"


def found(value: float, low: float, high: float, metric: str, differs: bool) -> str:
    """A quantity with its interval, if it has one: `+12.3 points (+9.0 to +15.6)`, `more than 12.1 times`."""
    if math.isinf(value):
        return f"more than {number(low, metric, differs, signed=False)}"
    text = number(value, metric, differs, signed=differs)
    if math.isnan(low):
        return text
    ends = ("…" if math.isinf(end) else number(end, metric, differs, differs, unit=False) for end in (low, high))
    return f"{text} ({' to '.join(ends)})"


def number(value: float, metric: str, differs: bool, signed: bool, unit: bool = True) -> str:
    """A share in percent, a difference of shares in points, a duration in iterations, a ratio of them in times."""
    if math.isnan(value):
        return "–"
    known = METRICS[metric]
    plain = known.kind == Kind.NUMBER
    digits = (1 if differs else 0) if known.is_duration else 2 if plain else 1
    rounded = round(value if plain else 100 * value, digits) or 0.0  # which has no sign
    text = f"{rounded:{'+' if signed and rounded and not known.is_duration else ''},.{digits}f}".replace("-", "−")
    units = ("iterations", "times") if known.is_duration else ("", "") if plain else ("%", "points")
    name = units[differs or known.signed]
    return f"{text} {name}" if unit and name else text
