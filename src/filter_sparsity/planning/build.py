"""From the files of experiments and a scale to the plan: every spec, and which runs each table and figure selects.

The plan is the one thing later steps read: no job reads the configuration. Torch-free, since the Snakefile imports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from .. import paths
from ..data.sources import originals
from ..errors import UserError
from ..parts import (
    Fact,
    Panel,
    Phase,
    Row,
    RowGroup,
    ScaleSettings,
    Table,
)
from ..plan import Plan, spec_ids
from ..records import archive
from . import experiments as configured
from .claims import resolve_claim
from .experiments import Experiments, OptimizerRecipe, SourcedValue, read_datasets, read_experiments
from .figures import resolve_figure
from .names import check_recipe, check_settings
from .resolver import Resolver, combine
from .validation import read_yaml, validate

Config = dict[str, Any]  # settings before they are validated
PATHS = ("datasets", "data_root", "verdict", "sensitivity")  # settings that are paths, besides `experiments`
MOST_HEADLINES = 8  # claims that the README's table and page 1 of the report have room for


def merge(base: Config, above: Mapping[str, Any]) -> Config:
    """As Snakemake merges configuration files: mappings key by key, anything else replaced."""
    merged = dict(base)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def anchor_paths(settings: Config, root: Path) -> Config:
    """The settings with the configuration's files as paths that hold from any folder."""
    files = {part: path and str(root / path) for part, path in settings["experiments"].items()}
    return {**settings, "experiments": files, "datasets": str(root / settings["datasets"])}


def overlay(settings: Mapping[str, Any], path: Path) -> Config:
    """The settings with a configuration file above them. Raises UserError."""
    own = read_yaml(path) or {}
    if not isinstance(own, dict):
        raise UserError(f"{path} is not a mapping of settings")
    return merge(dict(settings), own)


def build_plan(config: Mapping[str, Any]) -> Plan:
    """The plan of a merged configuration. Raises UserError for anything impossible."""
    config = expand_paths(validate(dict(config), "config", "configuration"))
    # How long a call may take does not change its results, nor what is noted of stored ones.
    settings = cast(ScaleSettings, {k: v for k, v in config.items() if k not in ("time_limit_minutes", "note")})
    if settings.get("records") == "stored":  # how another scale trains is no part of the plan of stored records
        of_trainings = {"device": "cpu", "precision": "float32"}
        settings = cast(ScaleSettings, {k: v for k, v in settings.items() if k != "train_first"} | of_trainings)
    experiments = read_experiments(settings["experiments"])
    scale = settings["scale"]
    if scale not in experiments["seeds"]:
        known = ", ".join(experiments["seeds"])
        raise UserError(
            f"{settings['experiments']['recipe']}: seeds: none are given for the scale {scale!r}: there are {known}"
        )
    datasets = read_datasets(Path(settings["datasets"]))
    check_settings(settings, datasets)
    if settings.get("manual_datasets") is None:
        root = Path(settings["data_root"] or paths.ORIGINAL)
        manual = [name for name, dataset in datasets.items() if dataset.access == "manual"]
        there = (name for name in manual if originals.find(datasets[name], root) or paths.prepared(name).exists())
        settings["manual_datasets"] = [*there]
    resolver = Resolver(experiments, settings, datasets)
    tables = {name: _table(resolver, name, table) for name, table in experiments["tables"].items()}
    figures = {name: resolve_figure(resolver, name, figure) for name, figure in experiments["figures"].items()}
    claims = [resolve_claim(resolver, i, claim) for i, claim in enumerate(experiments["claims"])]
    resolver.once([claim["id"] for claim in claims], "claims", "id")
    check_recipe(resolver)
    if (headlines := sum(claim.get("headline", False) for claim in claims)) > MOST_HEADLINES:
        raise resolver.error("claims", f"{headlines} claims are `headline`: at most {MOST_HEADLINES} may be")
    kept = archive.index(paths.reference(scale, "json")) if settings.get("records") == "stored" else None
    if kept is not None:
        for name, figure in figures.items():
            figure["missing_inputs"] = archive.missing_inputs(name, figure, kept)
    galleries = [figure for figure in figures.values() if figure["kind"] == "gallery" and not figure["missing_inputs"]]
    shown = [dataset for figure in galleries for dataset in (figure["plain"], figure["cluttered"])]
    used = dict.fromkeys([*(spec.dataset for spec in resolver.specs.values()), *shown])
    return Plan(
        settings=settings,
        seeds=experiments["seeds"][scale],
        specs=resolver.specs,
        tables=tables,
        figures=figures,
        row_defaults=resolver.row_defaults({}),
        datasets={name: resolver.datasets[name] for name in used},
        facts=list(_facts(experiments)),
        notes=experiments["notes"],
        seeds_by_dataset={name: resolver.seeds[name] for name in used if name in resolver.seeds},
        renders=resolver.renders(used),
        claims=claims,
        runs=None if kept is None else archive.seeds(kept, resolver.specs),
    )


def expand_paths(settings: Config) -> Config:
    """The settings with `~` and `$NAME` replaced in every path.

    Raises UserError for a variable that is not set, and for a `data_root` that is not there or is no folder.
    """

    def expanded(key: str, path: str | None) -> str | None:
        try:
            return path and paths.expand(path)
        except UserError as error:
            raise UserError(f"the configuration's {key}: {error}") from None

    files = {part: expanded(f"experiments.{part}", path) for part, path in settings["experiments"].items()}
    own = {key: expanded(key, settings[key]) for key in PATHS if key in settings}
    if (root := own["data_root"]) and not Path(root).is_dir():
        said = "is not a folder" if Path(root).exists() else "is not there: make the folder, or correct the path"
        raise UserError(f"the configuration's data_root: {root} {said}")
    return {**settings, "experiments": files, **own}


def build_plans(config: Mapping[str, Any]) -> tuple[Plan, Plan | None, Plan | None]:
    """The plan of a configuration, that of the stored runs whose verdict it shows, and that of its varied facts.

    Raises UserError as `build_plan` does, and for what is to be trained first or compared with and is not there.
    """

    def stored(path: str | None) -> Plan | None:
        return build_plan(overlay(config, Path(path)) | {"records": "stored"}) if path else None

    plan = build_plan(config)
    for name in config.get("train_first", []):
        plan.shown_by(name)  # or there is none, which it says
    for name, table in plan.tables.items():
        if table["reference"] and not (paths.PUBLISHED / table["reference"]).exists():
            file, missing = plan.settings["experiments"]["tables"], paths.PUBLISHED / table["reference"]
            raise UserError(f"{file}: tables.{name}.reference: there is no {missing}")
    verdict = None if plan.runs is not None else stored(plan.settings.get("verdict"))
    return plan, verdict, stored(plan.settings.get("sensitivity"))


def _table(resolver: Resolver, name: str, table: configured.Table) -> Table:
    """The table with, in each row, its published settings and, by column group, the id of its spec.

    A table whose data are missing has no panels and selects nothing: `missing_inputs` says which, and how to get them.
    """
    before = dict(resolver.specs)
    one_group: list[configured.ColumnGroup] = [{"label": "", "settings": {}}]
    column_groups = table.get("column_groups", one_group)
    resolver.once([columns["label"] for columns in column_groups], f"tables.{name}.column_groups", "label")
    panels: list[Panel] = []
    for p, panel in enumerate(table["panels"]):
        groups: list[RowGroup] = []
        for g, group in enumerate(panel["groups"]):
            rows: list[Row] = []
            where = f"tables.{name}.panels[{p}].groups[{g}]"
            resolver.once([row["label"] for row in group["rows"]], where, "label")
            for r, row in enumerate(group["rows"]):
                outer = [table["settings"], panel.get("settings", {}), group.get("settings", {}), row]
                merged = {columns["label"]: combine([*outer, columns["settings"]]) for columns in column_groups}
                specs = {label: resolver.spec(settings, f"{where}.rows[{r}]") for label, settings in merged.items()}
                published = {label: resolver.published(settings) for label, settings in merged.items()}
                if "phase_epochs" in row:  # a table's or group's own schedule is the paper's, a row's is not
                    for settings in published.values():
                        settings["phase_epochs"] = row["phase_epochs"]
                rows.append({"label": row["label"], "specs": specs, "published": published})
            groups.append({"label": group.get("label", ""), "rows": rows})
        resolver.once([group["label"] for group in groups], f"tables.{name}.panels[{p}]", "label")
        panels.append({"label": panel.get("label", ""), "groups": groups})
    resolver.once([panel["label"] for panel in panels], f"tables.{name}", "label")
    layers = ["total"]
    if not table.get("totals_only"):
        first = resolver.specs[next(spec_ids(panels))]
        layers = [*first.network.layers, "total"]
    missing = resolver.missing_inputs(resolver.specs[i].dataset for i in spec_ids(panels))
    if missing:
        panels, resolver.specs = [], before
    return {
        "missing_inputs": missing,
        "source": table["source"],
        "caption": table["caption"],
        "reference": table.get("reference"),
        "row_head": table.get("row_head", ""),
        "metrics": table["metrics"],
        "layers": layers,
        "column_groups": [columns["label"] for columns in column_groups],
        "panels": panels,
    }


def _optimizers(part: Any) -> Iterator[str]:
    """All values under a key `optimizer`."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield from [value] if key == "optimizer" else _optimizers(value)
    elif isinstance(part, list):
        for item in part:
            yield from _optimizers(item)


def _facts(experiments: Experiments) -> Iterator[Fact]:
    """Every setting with a source, as lines of the page of method.

    Of the optimizers only those that a table or figure names.
    """
    used = {*_optimizers(experiments["tables"]), *_optimizers(experiments["figures"])}

    def line(part: str, name: str, value: object, origin: SourcedValue | OptimizerRecipe | Phase) -> Fact:
        plain = name.replace("_", " ")
        return {
            "part": part,
            "name": plain,
            "value": value,
            "source": origin["source"],
            "note": origin.get("note", ""),
        }

    parts = {"training": experiments["defaults"], "conventions": experiments["conventions"], **experiments["networks"]}
    for part, facts in parts.items():
        for name, fact in facts.items():
            yield line(part, name, fact["value"], fact)
    for dataset, recipe in experiments.get("datasets", {}).items():
        for network, fact in recipe.get("hidden", {}).items():
            yield line(dataset.replace("_", " "), f"hidden of {network}", fact["value"], fact)
    for name, optimizer in experiments["optimizers"].items():
        if name not in used:
            continue
        settings = {"rate": optimizer["rate"], **optimizer["hyperparameters"]}
        words = [k if v is True else f"{k} {tuple(v) if isinstance(v, list) else v}" for k, v in settings.items()]
        yield line("optimizers", name, words, optimizer)
    for family, facts in experiments.get("renders", {}).items():
        for name, fact in facts.items():
            yield line(f"renders of {family}", name, fact["value"], fact)
    for title, figure in experiments["figures"].items():
        if figure["kind"] != "simulation":
            continue
        for i, phase in enumerate(figure["phases"], start=1):
            gradients = f"gradients of standard deviation {phase['deviation']:g} for {phase['iterations']} iterations"
            yield line(title, f"phase {i}", gradients, phase)
        for name, value in figure.items():
            if isinstance(value, dict) and "source" in value:
                yield line(title, name, value["value"], cast(SourcedValue, value))
        longest = figure["half_lives"]["iterations"]
        yield line(title, "iterations for half-lives", longest["value"], longest)
