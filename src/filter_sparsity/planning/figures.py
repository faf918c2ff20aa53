"""From a figure of the configuration to that of the plan: its curves' specs, optimizers or datasets. Torch-free."""

from __future__ import annotations

from ..parts import Curve, CurveFigure, Figure, SimulationPanel
from . import experiments as configured
from .resolver import Resolver, combine


def resolve_figure(resolver: Resolver, name: str, figure: configured.Figure) -> Figure:
    """The figure with its curves' specs, the optimizers that it simulates, or the datasets that it shows."""
    if figure["kind"] == "simulation":
        keys = [f"{panel['label']}, {panel['regularizer']}" for panel in figure["panels"]]
        resolver.once(keys, f"figures.{name}.panels", "panel")
        return {
            "kind": "simulation",
            "source": figure["source"],
            "caption": figure["caption"],
            "start": figure["start"]["value"],
            "phases": figure["phases"],
            "repeats": figure["repeats"]["value"],
            "strengths": figure["strengths"]["value"],
            "panels": _simulation_panels(resolver, figure["panels"], f"figures.{name}.panels"),
            "half_life_iterations": figure["half_lives"]["iterations"]["value"],
            "half_life_panels": _simulation_panels(
                resolver, figure["half_lives"]["panels"], f"figures.{name}.half_lives.panels"
            ),
        }
    if figure["kind"] == "gallery":
        plain = resolver.dataset(figure["plain"], f"figures.{name}.plain").name
        cluttered = resolver.dataset(figure["cluttered"], f"figures.{name}.cluttered").name
        return {
            **figure,
            "plain": plain,
            "cluttered": cluttered,
            "missing_inputs": resolver.missing_inputs([plain, cluttered]),
        }
    curves: list[Curve] = []
    for i, curve in enumerate(figure["curves"]):
        spec_id = resolver.spec(combine([figure["settings"], curve]), f"figures.{name}.curves[{i}]")
        curves.append({"label": curve["label"], "spec_id": spec_id})
    resolved: CurveFigure = {
        "kind": figure["kind"],
        "source": figure["source"],
        "caption": figure["caption"],
        "curves": curves,
    }
    if "layers" in figure:
        for spec in (resolver.specs[curve["spec_id"]] for curve in curves):
            for layer in figure["layers"]:
                if layer not in spec.network.layers:
                    known = ", ".join(spec.network.layers)
                    raise resolver.error(f"figures.{name}.layers", f"{layer!r} is not one of {known}")
        resolved["layers"] = figure["layers"]
    return resolved


def _simulation_panels(
    resolver: Resolver, panels: list[configured.SimulationPanel], where: str
) -> list[SimulationPanel]:
    resolved: list[SimulationPanel] = []
    for i, panel in enumerate(panels):
        optimizer = resolver.optimizer(panel["optimizer"], f"{where}[{i}].optimizer")
        resolved.append(
            {
                "label": panel["label"],
                "optimizer": panel["optimizer"],
                "regularizer": panel["regularizer"],
                "algorithm": optimizer["algorithm"],
                "rate": optimizer["rate"] * panel.get("rate_scale", 1),
                "hyperparameters": optimizer["hyperparameters"],
            }
        )
    return resolved
