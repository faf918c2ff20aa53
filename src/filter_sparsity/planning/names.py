"""Names in the configuration: each is used, or refused with those that are there. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..parts import Dataset
from ..paths import COMPOSED, shrunk_from
from .resolver import Resolver

# What Snakemake is asked for besides tables and figures, and what stands beside them in the results.
TARGETS = (
    *("aggregate", "campaign", "check", "compare", "compare_sensitivity", "compile_report", "compile_table"),
    *("datasets", "extract", "figures", "judge", "page", "plan", "plot", "plot_layers", "plot_overview", "prepare"),
    *("readme", "render", "report", "restore", "simulate", "store_reference", "tables", "train", "typeset_report"),
    *("typeset_table", "verdict"),
    *("all", "claims", "layers", "overview", "scale"),
)
SHARED_FOLDER = "data"  # in results/, beside the scales' folders


def check_settings(settings: Mapping[str, Any], datasets: Mapping[str, Dataset]) -> None:
    """Raise UserError for a dataset in the configuration that the file of datasets lacks or that is not used so."""

    def refuse(key: str, said: str) -> UserError:
        return UserError(f"the configuration's {key}: {said}")

    substitutes = settings["substitutes"] or {}
    named = {
        "substitutes": [*substitutes, *substitutes.values()],
        "mirrors": settings.get("mirrors", {}),
        "manual_datasets": settings.get("manual_datasets") or [],
    }
    for key, names in named.items():
        for name in names:
            if name not in datasets:
                raise refuse(key, f"{name!r} is not in {settings['datasets']}: {', '.join(datasets)}")
    for key, access in (("mirrors", "downloaded"), ("manual_datasets", "manual")):
        for name in named[key]:
            if datasets[name].access != access:
                known = ", ".join(other for other, dataset in datasets.items() if dataset.access == access)
                raise refuse(key, f"the access of {name} is `{datasets[name].access}`: name one of {known}")
    sides = {shrunk[1] for shrunk in map(shrunk_from, datasets) if shrunk}
    if settings["image_side"] is not None and settings["image_side"] not in sides:
        known = ", ".join(map(str, sorted(sides)))
        raise refuse(
            "image_side", f"{settings['datasets']} has no dataset of {settings['image_side']} pixels: it has {known}"
        )
    if settings["scale"] == SHARED_FOLDER:
        raise refuse("scale", f"results/{SHARED_FOLDER} holds the data of all scales: take another name")


def check_recipe(resolver: Resolver) -> None:
    """Raise UserError for a name in the files of experiments that nothing can use, once all rows are resolved."""
    experiments, datasets = resolver.experiments, resolver.datasets
    for part in (experiments["tables"], experiments["figures"]):
        kind = "tables" if part is experiments["tables"] else "figures"
        for name in part:
            if name in TARGETS:
                raise resolver.error(f"{kind}.{name}", f"`snakemake {name}` makes something else: take another name")
            if kind == "tables" and name in experiments["figures"]:
                raise resolver.error(f"{kind}.{name}", "a figure has this name, too: take another one")
    for scale in experiments["seeds"]:
        if scale in datasets:
            raise resolver.error(
                f"seeds.{scale}", f"{scale} is a dataset, not a scale: its seeds stand in datasets.{scale}.seeds"
            )
    for name, own in experiments.get("datasets", {}).items():
        dataset = resolver.known("datasets", datasets, name, "datasets")
        if dataset.stands_for and name not in resolver.published_datasets:
            raise resolver.error(
                f"datasets.{name}", f"no row names it: write {dataset.stands_for}, for which it stands"
            )
        for scale in own.get("seeds", {}):
            resolver.known("scales with seeds", experiments["seeds"], scale, f"datasets.{name}.seeds")
        for network in own.get("hidden", {}):
            resolver.network(network, f"datasets.{name}.hidden")
    for family in experiments.get("renders", {}):
        if not {f"{family}_{kind}" for kind in COMPOSED} & {*datasets}:
            raise resolver.error(
                f"renders.{family}", f"no dataset of {resolver.settings['datasets']} is composed of it"
            )
    for number, settings in enumerate(experiments.get("specs", [])):
        resolver.check_names(settings, f"specs[{number}]")
