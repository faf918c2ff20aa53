"""From a claim of the configuration to that of the plan: a test for each layer, and what it compares. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from ..metrics import METRICS, Kind, Layers
from ..parts import REGIONS, Claim, ClaimSide, ClaimTest, SpecSettings
from . import experiments as configured
from .resolver import Resolver, regularizer


def resolve_claim(resolver: Resolver, number: int, claim: configured.Claim) -> Claim:
    """The claim with a test for each of its layers, and the specs it compares. It only selects: it adds no spec."""
    before = dict(resolver.specs)
    tests: list[ClaimTest] = []
    for t, test in enumerate(claim["tests"]):
        where = f"claims[{number}].tests[{t}]"
        sides = {"spec": _side(resolver, test, test["spec"], f"{where}.spec")}
        if "baseline" in test:
            sides["baseline"] = _side(resolver, test, test["baseline"], f"{where}.baseline")
        bounds = [test[region] for region in REGIONS if region in test]
        if METRICS[test["metric"]].kind != Kind.NUMBER and any(abs(bound) > 1 for bound in bounds):
            raise resolver.error(where, "shares are fractions, from −1 to 1")
        layers = _layers(resolver, test, sides, where)
        tests += [_claim_test(resolver, test, layer, sides) for layer in layers]
    resolver.specs = before
    return {**claim, "tests": tests}


def _claim_test(
    resolver: Resolver, test: configured.ClaimTest, layer: str, sides: Mapping[str, ClaimSide]
) -> ClaimTest:
    """The test of a claim for one layer; empty for a metric without layers."""
    resolved: ClaimTest = {"metric": test["metric"], "layer": layer, "spec": sides["spec"]}
    if "baseline" in sides:
        resolved["baseline"] = sides["baseline"]
    if "precondition" in test:
        resolved["precondition"] = test["precondition"]
    if "simulated" in test:
        resolved["simulated"] = test["simulated"]
        resolved["repeats"] = _simulated(resolver, test["simulated"])["repeats"]["value"]
    for region in REGIONS:
        if region in test:
            resolved[region] = test[region]
    return resolved


def _simulated(resolver: Resolver, name: str) -> configured.SimulationFigure:
    figure = resolver.experiments["figures"][name]
    assert figure["kind"] == "simulation"  # `_panel` has found its curve
    return figure


def _side(resolver: Resolver, test: configured.ClaimTest, settings: SpecSettings, where: str) -> ClaimSide:
    """What a test compares: the spec with these settings, or the curve of a simulation."""
    if "simulated" in test:
        return _curve(resolver, test["simulated"], settings, where)
    return {"settings": settings, "spec_id": resolver.spec(settings, where)}


def _layers(resolver: Resolver, test: configured.ClaimTest, sides: Mapping[str, ClaimSide], where: str) -> list[str]:
    """The layers that a test of a claim is about; of what has none, one without a name."""
    metric = METRICS[test["metric"]]
    if metric.is_duration != ("simulated" in test):
        raise resolver.error(where, "a half-life is what a figure has `simulated`, and nothing else is")
    if not metric.by_layer:
        if "layers" in test:
            raise resolver.error(f"{where}.layers", f"{metric.name} has none")
        return [""]
    total = ["total"] if metric.layers == Layers.TOTAL else []
    wanted: list[str] = test.get("layers", total)
    for network in [resolver.specs[side["spec_id"]].network for side in sides.values()]:
        known = [*network.layers, *total]
        if not wanted or not {*wanted} <= {*known}:
            given = f"{', '.join(wanted)} given" if wanted else "none given"
            raise resolver.error(f"{where}.layers", f"{given}; {metric.name} has {', '.join(known)}")
    return wanted


def _curve(resolver: Resolver, name: str, settings: SpecSettings, where: str) -> ClaimSide:
    """Which curve of a simulated figure settings like {optimizer: adam, l2: 1e-4} mean.

    The simulated scalar stands for a γ, so a rate of its own is `gamma_rate_scale`.
    """
    figure = resolver.experiments["figures"].get(name)
    kind, strength = regularizer(settings)
    if figure and figure["kind"] == "simulation" and strength in figure["strengths"]["value"]:
        wanted = settings.get("optimizer"), kind, settings.get("gamma_rate_scale", 1)
        for panel in [*figure["panels"], *figure["half_lives"]["panels"]]:
            if (panel["optimizer"], panel["regularizer"], panel.get("rate_scale", 1)) == wanted:
                return {"settings": settings, "panel": panel["label"], "regularizer": kind, "strength": strength}
    raise resolver.error(where, f"{name} simulates no {settings.get('optimizer')} with {kind} {strength:g}")
