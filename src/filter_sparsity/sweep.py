"""From the experiments file and a scale to the plan: every spec, and which runs each table and figure selects.

The plan is the one thing later steps read: no job reads the configuration. Torch-free, since the Snakefile imports it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import paths, stored
from .datasets import Dataset, read_datasets
from .errors import UserError
from .paths import COMPOSED, renders_of
from .plan import Plan, spec_ids
from .spec import Network, Spec
from .validation import read_yaml, validate

# What a row may say in place of what holds for all: its numbers are no longer the paper's.
FACTS = ("unregularized", "pool_after", "pool", "hidden", "hidden_norm", "hyperparameters", "width", "steps")
WHOLE = ("train_loss", "test_loss", "test_error", "params_pruned", "pruned_test_error")  # measures without layers


def merge(base: dict[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """As Snakemake merges configuration files: mappings key by key, anything else replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def build_plan(settings: dict[str, Any]) -> Plan:
    """Resolve everything. `settings` is the merged configuration. Raises UserError for anything impossible."""
    validate(settings, "config", "configuration")
    if settings.get("extends"):
        settings = merge(settings, read_yaml(Path(settings["extends"]))) | {"extends": None}
        validate(settings, "config", "configuration")
    settings = {k: v for k, v in settings.items() if k != "time_limit"}  # of a call, not of what it makes
    path = Path(settings["experiments"])
    experiments = read_yaml(path)
    validate(experiments, "experiments", str(path))
    scale = settings["scale"]
    if scale not in experiments["seeds"]:
        known = ", ".join(experiments["seeds"])
        raise UserError(f"{path}: seeds: none are given for the scale {scale!r}: there are {known}")
    datasets = read_datasets(Path(settings["datasets"]))
    if settings.get("by_hand") is None:
        root = Path(settings["data_root"] or paths.ORIGINAL)
        there = [name for name, d in datasets.items() if d.found(root) or paths.prepared(name).exists()]
        settings = {**settings, "by_hand": [name for name in there if datasets[name].obtain == "by hand"]}
    resolver = _Resolver(experiments, settings, datasets, str(path))
    own = {name: table for name, table in experiments["tables"].items() if table.get("scale") == scale}
    shared = {name: table for name, table in experiments["tables"].items() if "scale" not in table}
    tables = {name: resolver.table(name, table) for name, table in (own or shared).items()}
    figures, claims = {}, []
    if not own:
        figures = {name: resolver.figure(name, figure) for name, figure in experiments["figures"].items()}
        claims = [resolver.claim(i, claim) for i, claim in enumerate(experiments.get("claims", []))]
        resolver.once([claim["id"] for claim in claims], "claims", "id")
    kept = stored.index(paths.reference(scale, "json")) if settings.get("records") == "stored" else None
    if kept is not None:
        figures = {name: figure | {"needs": stored.lacking(name, figure, kept)} for name, figure in figures.items()}
    shown = [f[kind] for f in figures.values() if f["kind"] == "gallery" and not f["needs"] for kind in COMPOSED]
    used = dict.fromkeys([*(spec.dataset for spec in resolver.specs.values()), *shown])
    return Plan(
        settings=settings,
        seeds=experiments["seeds"][scale],
        specs=resolver.specs,
        tables=tables,
        figures=figures,
        usual=resolver.published({}),
        datasets={name: resolver.datasets[name].__dict__ for name in used},
        facts=list(_facts(experiments)),
        notes=experiments.get("notes", []),
        seeds_by_dataset={name: resolver.seeds[name] for name in used if name in resolver.seeds},
        renders=resolver.renders(used),
        claims=claims,
        runs=None if kept is None else stored.seeds(kept, resolver.specs),
    )


def build_plans(settings: dict[str, Any]) -> tuple[Plan, Plan | None, Plan | None]:
    """The plan of a configuration, that of the stored runs whose verdict it shows, and that of its varied facts."""

    def other(key: str, **more: str) -> Plan | None:
        path = settings.get(key)
        return build_plan(merge(settings, read_yaml(Path(path))) | more) if path else None

    return build_plan(settings), other("verdict"), other("assumptions", records="stored")


def multiplier(setting: float | dict[str, float], optimizer: str) -> float:
    """One factor for all optimizers, or each optimizer's own, 1 where none is given."""
    return setting.get(optimizer, 1) if isinstance(setting, dict) else setting


class _Resolver:
    """Turns the settings of rows and curves into specs, and remembers every spec it met."""

    def __init__(
        self, experiments: dict[str, Any], settings: dict[str, Any], datasets: dict[str, Dataset], where: str
    ) -> None:
        self.experiments, self.settings, self.datasets, self.where = experiments, settings, datasets, where
        self.specs: dict[str, Spec] = {}
        self.seeds: dict[str, list[int]] = {}  # of datasets with seeds of their own at this scale
        for key in ("rate_multiplier", "strength_multiplier"):
            for optimizer in settings[key] if isinstance(settings[key], dict) else []:
                self._known("optimizers", optimizer, f"the configuration's {key}")

    def table(self, name: str, table: dict[str, Any]) -> dict[str, Any]:
        """The table with, in each row, its published settings and, by block, the id of its spec.

        A table whose data are not there has no panels and selects nothing: `needs` says which, and how to get them.
        """
        before = dict(self.specs)
        blocks = table.get("blocks", [{"label": "", "settings": {}}])
        panels = []
        for p, panel in enumerate(table["panels"]):
            groups = []
            for g, group in enumerate(panel["groups"]):
                rows = []
                where = f"tables.{name}.panels[{p}].groups[{g}]"
                self.once([row["label"] for row in group["rows"]], where, "label")
                for r, row in enumerate(group["rows"]):
                    outer = [table["settings"], panel.get("settings", {}), group.get("settings", {}), row]
                    merged = {block["label"]: _combine([*outer, block["settings"]]) for block in blocks}
                    specs = {block: self.spec(settings, f"{where}.rows[{r}]") for block, settings in merged.items()}
                    # A table's or group's own schedule is the paper's, a row's is not.
                    own = {"phase_epochs": row["phase_epochs"]} if "phase_epochs" in row else {}
                    published = {block: self.published(settings) | own for block, settings in merged.items()}
                    rows.append({"label": row["label"], "specs": specs, "published": published})
                groups.append({"label": group.get("label", ""), "rows": rows})
            self.once([group["label"] for group in groups], f"tables.{name}.panels[{p}]", "label")
            panels.append({"label": panel.get("label", ""), "groups": groups})
        self.once([panel["label"] for panel in panels], f"tables.{name}", "label")
        layers = ["total"]
        if not table.get("totals_only"):
            first = self.specs[next(spec_ids(panels))]
            layers = [*first.network.layers, "total"]
        needs = self.needs(self.specs[i].dataset for i in spec_ids(panels))
        if needs:
            panels, self.specs = [], before
        return {
            "needs": needs,
            "source": table["source"],
            "caption": table["caption"],
            "reference": table.get("reference"),
            "row_head": table.get("row_head", ""),
            "metrics": table["metrics"],
            "layers": layers,
            "blocks": [block["label"] for block in blocks],
            "panels": panels,
        }

    def figure(self, name: str, figure: dict[str, Any]) -> dict[str, Any]:
        if figure["kind"] == "simulation":
            panels = []
            for i, panel in enumerate(figure["panels"]):
                optimizer = self._known("optimizers", panel["optimizer"], f"figures.{name}.panels[{i}].optimizer")
                panels.append({**panel, **{k: optimizer[k] for k in ("algorithm", "rate", "hyperparameters")}})
            plain = {k: figure[k]["value"] for k in ("start", "repeats", "strengths")}
            return {**figure, **plain, "panels": panels}
        if figure["kind"] == "gallery":
            shown = {kind: self.dataset(figure[kind], f"figures.{name}.{kind}").name for kind in COMPOSED}
            return {**figure, **shown, "needs": self.needs(shown.values())}
        curves = []
        for i, curve in enumerate(figure["curves"]):
            settings = _combine([figure["settings"], curve])
            curves.append({"label": curve["label"], "spec": self.spec(settings, f"figures.{name}.curves[{i}]")})
        for layer in figure.get("layers", []):
            for curve in curves:
                layers = self.specs[curve["spec"]].network.layers
                if layer not in layers:
                    raise UserError(f"{self.where}: figures.{name}.layers: {layer!r} is not one of {', '.join(layers)}")
        return {**{k: v for k, v in figure.items() if k != "settings"}, "curves": curves}

    def claim(self, number: int, claim: dict[str, Any]) -> dict[str, Any]:
        """The claim with a test for each of its layers, and the specs it compares. It only selects: it adds no spec."""
        before = dict(self.specs)
        tests = []
        for t, test in enumerate(claim["tests"]):
            sides = {}
            for side in ("of", "minus"):
                if own := test.get(side):
                    where = f"claims[{number}].tests[{t}].{side}"
                    if "simulated" in test:
                        sides[side] = self._panel(test["simulated"], own, where)
                    else:
                        sides[side] = {"settings": own, "spec": self.spec(own, where)}
            plain = {k: v for k, v in test.items() if k not in ("of", "minus", "layers")}
            if "simulated" in test:
                plain["repeats"] = self.experiments["figures"][test["simulated"]]["repeats"]["value"]
            layers = self._layers(test, sides, f"claims[{number}].tests[{t}]")
            tests += [{**plain, "layer": layer, **sides} for layer in layers]
        self.specs = before
        return {**claim, "tests": tests}

    def _layers(self, test: dict[str, Any], sides: dict[str, dict[str, Any]], where: str) -> list[str]:
        """The layers that a test of a claim is about; of what has none, one without a name."""
        measure = test["measure"]
        if (measure == "scalar") != ("simulated" in test):
            raise UserError(f"{self.where}: {where}: a scalar is what a figure has `simulated`, and nothing else is")
        if measure in (*WHOLE, "scalar"):
            if "layers" in test:
                raise UserError(f"{self.where}: {where}.layers: {measure} has none")
            return [""]
        total = ["total"] if measure.startswith("sparsity") else []
        wanted: list[str] = test.get("layers", total)
        for network in [self.specs[side["spec"]].network for side in sides.values()]:
            known = [*network.layers, *total]
            if not wanted or not {*wanted} <= {*known}:
                given = f"{', '.join(wanted)} given" if wanted else "none given"
                raise UserError(f"{self.where}: {where}.layers: {given}; {measure} has {', '.join(known)}")
        return wanted

    def once(self, names: list[str], where: str, key: str) -> None:
        """Raise UserError for a name that stands there twice: the second would hide the first."""
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{self.where}: {where}: the {key} {name!r} is given twice")

    def _panel(self, figure: str, own: dict[str, Any], where: str) -> dict[str, Any]:
        """Which curve of a simulated figure settings like {optimizer: adam, l2: 1e-4} mean."""
        drawn = self.experiments["figures"].get(figure, {})
        kind, strength = _regularizer(own)
        wanted = {"optimizer": own.get("optimizer"), "regularizer": kind}
        panels = [p for p in drawn.get("panels", []) if wanted.items() <= p.items()]
        if not panels or strength not in drawn["strengths"]["value"]:
            raise UserError(
                f"{self.where}: {where}: {figure} simulates no {own.get('optimizer')} with {kind} {own.get(kind)}"
            )
        return {"settings": own, "panel": panels[0]["label"], "regularizer": kind, "strength": strength}

    def published(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row's settings in the words of the reference tables, before the scale changes them."""
        full = self._full(row)
        kind, strength = _regularizer(full)
        same = ("dataset", "network", "optimizer", "gamma_init", "beta_init", "batch_size", "negative_slope")
        return {
            **{key: full.get(key) for key in (*same, *FACTS)},
            "gamma_lr_scale": full["gamma_rate_scale"],
            "beta_lr_scale": full["beta_rate_scale"],
            "regularizer": kind,
            "strength": strength,
        }

    def spec(self, row: dict[str, Any], where: str) -> str:
        """The id of the spec that a row's settings resolve to at this scale."""
        full = self._full(row)
        for key in ("dataset", "optimizer"):
            if key not in full:
                raise UserError(f"{self.where}: {where}: no {key} is given, here or around it")
        optimizer = self._known("optimizers", full["optimizer"], f"{where}.optimizer")
        network = self._known("networks", full["network"], f"{where}.network")
        dataset = self.dataset(full["dataset"], f"{where}.dataset")
        name = dataset.name
        batch = full["batch_size"]
        if batch > dataset.train:
            raise UserError(
                f"{self.where}: {where}.batch_size: {batch} is more than the {dataset.train} training images of {name}"
            )
        own = self.experiments.get("datasets", {}).get(full["dataset"], {})
        if seeds := own.get("seeds", {}).get(self.settings["scale"]):
            if self.settings["pack_seeds"]:
                raise UserError(f"{self.where}: datasets.{full['dataset']}.seeds: not at a scale with pack_seeds")
            self.seeds[name] = seeds
        network = {**network, "hidden": own.get("hidden", {}).get(full["network"], network["hidden"])}
        facts = {k: full.get(k, fact["value"]) for k, fact in network.items()}
        kind, strength = _regularizer(full)
        width, steps = (full.get(key, self.settings[key]) for key in ("width", "steps"))
        try:
            spec = Spec(
                dataset=name,
                flip=dataset.flip,
                network=self._network(full["network"], facts, width),
                negative_slope=full["negative_slope"],
                gamma_init=full["gamma_init"],
                beta_init=full["beta_init"],
                optimizer=full["optimizer"],
                algorithm=optimizer["algorithm"],
                rate=_round(optimizer["rate"] * multiplier(self.settings["rate_multiplier"], full["optimizer"])),
                hyperparameters={**optimizer["hyperparameters"], **full.get("hyperparameters", {})},
                gamma_rate_scale=full["gamma_rate_scale"],
                beta_rate_scale=full["beta_rate_scale"],
                regularizer=kind,
                strength=_round(strength * multiplier(self.settings["strength_multiplier"], full["optimizer"])),
                batch_size=batch,
                phase_steps=self._phases(
                    full["phase_epochs"],
                    dataset.train // full.get("schedule_batch", batch),
                    steps if self._there(dataset) else None,  # what is not run cannot be too short
                ),
                rate_decay=full["rate_decay"],
                unregularized=full["unregularized"],
            )
        except UserError as error:
            raise UserError(f"{self.where}: {where}: {error}") from None
        return self.specs.setdefault(spec.id, spec).id

    def needs(self, names: Iterable[str]) -> list[str]:
        """Of some datasets, those that only the user can get and that are not there, and how to get them."""
        used = [self.datasets[name] for name in dict.fromkeys(names)]
        return [f"{d.name} ({d.get})" for d in used if not self._there(d)]

    def dataset(self, published: str, where: str) -> Dataset:
        """What this scale has for a published dataset."""
        name = (self.settings["stand_ins"] or {}).get(published, published)
        if name not in self.datasets:
            known = ", ".join(self.datasets)
            raise UserError(f"{self.where}: {where}: {name!r} is not in {self.settings['datasets']}: {known}")
        return self.datasets[name]

    def renders(self, datasets: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The settings of the families of renders that some datasets are composed of, which must say the same."""
        families = {}
        for name in datasets:
            if family := renders_of(name):
                where = f"{self.where}: renders.{family}"
                if family not in self.experiments.get("renders", {}):
                    raise UserError(f"{where}: {name} is composed of these renders, but they are not there")
                settings = {k: fact["value"] for k, fact in self.experiments["renders"][family].items()}
                classes, (train, test) = len(settings["classes"]), settings["images"]
                said = (classes, classes * train, classes * test, settings["side"])
                line = self.datasets[name]
                if said != (line.classes, line.train, line.test, line.side):
                    raise UserError(
                        f"{where}: {said[0]} classes, {said[1]} and {said[2]} images of side {said[3]} are not what "
                        f"{self.settings['datasets']} says of {name}"
                    )
                families[family] = settings
        return families

    def _full(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row's settings, and the defaults for those that it does not give."""
        return {**{k: fact["value"] for k, fact in self.experiments["defaults"].items()}, **row}

    def _known(self, part: str, name: Any, where: str) -> dict[str, Any]:
        if name not in self.experiments[part]:
            known = ", ".join(self.experiments[part])
            raise UserError(f"{self.where}: {where}: {name!r} is not one of the {part}: {known}")
        return self.experiments[part][name]

    def _network(self, name: str, facts: dict[str, Any], width: float) -> Network:
        return Network(
            name=name,
            filters=tuple(max(1, round(f * width)) for f in facts["filters"]),
            kernels=tuple(facts["kernels"]),
            pool_after=tuple(facts["pool_after"]),
            conv_bias=facts["conv_bias"],
            hidden=tuple(facts["hidden"]),
            pool=facts["pool"],
            hidden_norm=facts["hidden_norm"],
        )

    def _there(self, dataset: Dataset) -> bool:
        return dataset.obtain != "by hand" or dataset.name in self.settings["by_hand"]

    def _phases(self, epochs: list[int], steps_per_epoch: int, wanted: int | None) -> tuple[int, ...]:
        """Published epochs as steps; where the scale wants a number of steps, each phase keeps its share of it."""
        ends = list(itertools.accumulate((e * steps_per_epoch for e in epochs), initial=0))
        if wanted is not None:
            ends = [round(wanted * end / ends[-1]) for end in ends]
        return tuple(b - a for a, b in itertools.pairwise(ends))


def _combine(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Later parts win; `l2` and `wd` replace one another."""
    merged: dict[str, Any] = {}
    for part in parts:
        if "l2" in part or "wd" in part:
            merged.pop("l2", None)
            merged.pop("wd", None)
        merged.update(part)
    return merged


def _regularizer(settings: dict[str, Any]) -> tuple[str, float]:
    """`l2`, `wd` or `none`, and its strength."""
    kind = next((k for k in ("l2", "wd") if k in settings), "none")
    return kind, settings.get(kind, 0)


def _round(value: float) -> float:
    """12 digits: 1e-3 times 10 is 0.01, and equal settings have equal ids."""
    return float(f"{value:.12g}") if math.isfinite(value) else value


def _facts(experiments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every setting with a source, as lines of the page of method."""

    def line(part: str, name: str, fact: dict[str, Any], value: Any = None) -> dict[str, Any]:
        value = fact["value"] if value is None else value
        plain = name.replace("_", " ")
        return {"part": part, "name": plain, "value": value, "source": fact["source"], "note": fact.get("note", "")}

    plain = {"training": experiments["defaults"], "conventions": experiments["conventions"], **experiments["networks"]}
    for part, facts in plain.items():
        for name, fact in facts.items():
            yield line(part, name, fact)
    for dataset, facts in experiments.get("datasets", {}).items():
        for network, fact in facts.get("hidden", {}).items():
            yield line(dataset.replace("_", " "), f"hidden of {network}", fact)
    for name, fact in experiments["optimizers"].items():
        settings = {"rate": fact["rate"], **fact["hyperparameters"]}
        said = [k if v is True else f"{k} {tuple(v) if isinstance(v, list) else v}" for k, v in settings.items()]
        yield line("optimizers", name, fact, said)
    for family, facts in experiments.get("renders", {}).items():
        for name, fact in facts.items():
            yield line(f"renders of {family}", name, fact)
    for figure, facts in experiments["figures"].items():
        for i, phase in enumerate(facts.get("phases", []), start=1):
            drawn = f"gradients of deviation {phase['deviation']:g} for {phase['iterations']} iterations"
            yield line(figure, f"phase {i}", phase, drawn)
        for name, fact in facts.items():
            if isinstance(fact, dict) and "value" in fact:
                yield line(figure, name, fact)
