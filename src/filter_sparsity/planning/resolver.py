"""From a row's settings and a scale to a spec, and to the words of the paper's tables. Torch-free."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

from ..errors import UserError
from ..parts import Dataset, PublishedSettings, Regularizer, RenderSettings, RowDefaults, SpecSettings
from ..paths import renders_of
from ..spec import Network, Spec

# What a row may say in place of what holds for all: its numbers are no longer the paper's.
FACTS = (
    "unregularized",
    "pool_after",
    "pool",
    "hidden",
    "hidden_norm",
    "head_pool",
    "head_init",
    "hyperparameters",
    "width",
    "steps",
)


def multiplier(setting: float | dict[str, float], optimizer: str) -> float:
    """One factor for all optimizers, or each optimizer's own, 1 where none is given."""
    return setting.get(optimizer, 1) if isinstance(setting, dict) else setting


def combine(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Later parts win; `l2` and `wd` replace one another."""
    merged: dict[str, Any] = {}
    for part in parts:
        if "l2" in part or "wd" in part:
            merged.pop("l2", None)
            merged.pop("wd", None)
        merged.update(part)
    return merged


def regularizer(settings: dict[str, Any]) -> tuple[Regularizer, float]:
    """`l2`, `wd` or `none`, and its strength."""
    kind = next((k for k in ("l2", "wd") if k in settings), "none")
    return kind, settings.get(kind, 0)


class Resolver:
    """Turns the settings of rows and curves into specs, and remembers every spec it met."""

    def __init__(self, experiments: dict[str, Any], settings: dict[str, Any], datasets: dict[str, Dataset]) -> None:
        self.experiments, self.settings, self.datasets = experiments, settings, datasets
        self.specs: dict[str, Spec] = {}
        self.seeds: dict[str, list[int]] = {}  # of datasets with seeds of their own at this scale
        for key in ("lr_multiplier", "strength_multiplier"):
            for optimizer in settings[key] if isinstance(settings[key], dict) else []:
                self.known("optimizers", optimizer, f"the configuration's {key}")
        for name, facts in experiments["networks"].items():
            try:  # here, since a row that uses it stands in another file
                self._network(name, {key: fact["value"] for key, fact in facts.items()}, 1)
            except UserError as error:
                raise self.error(f"networks.{name}", str(error)) from None

    def error(self, place: str, said: str) -> UserError:
        """An error that names the file in which `place` stands, as `tables.table1.panels[0]`."""
        files, part = self.settings["experiments"], place.split(".")[0].split("[")[0]
        return UserError(f"{files.get(part) or files['recipe']}: {place}: {said}")

    def spec(self, row: dict[str, Any], where: str) -> str:
        """The id of the spec that a row's settings resolve to at this scale."""
        full = self._full(row)
        for key in ("dataset", "optimizer"):
            if key not in full:
                raise self.error(where, f"no {key} is given, here or around it")
        optimizer = self.known("optimizers", full["optimizer"], f"{where}.optimizer")
        network = self.known("networks", full["network"], f"{where}.network")
        dataset = self.dataset(full["dataset"], f"{where}.dataset")
        name = dataset.name
        batch = full["batch_size"]
        if batch > dataset.train:
            raise self.error(
                f"{where}.batch_size", f"{batch} is more than the {dataset.train} training images of {name}"
            )
        own = self.experiments.get("datasets", {}).get(full["dataset"], {})
        if seeds := own.get("seeds", {}).get(self.settings["scale"]):
            if self.settings["pack_seeds"]:
                raise self.error(f"datasets.{full['dataset']}.seeds", "not at a scale with pack_seeds")
            self.seeds[name] = seeds
        network = {**network, "hidden": own.get("hidden", {}).get(full["network"], network["hidden"])}
        facts = {k: full.get(k, fact["value"]) for k, fact in network.items()}
        if not dataset.side >> len(facts["pool_after"]):
            poolings = len(facts["pool_after"])
            raise self.error(where, f"{poolings} poolings leave nothing of {name}'s side {dataset.side}")
        kind, strength = regularizer(full)
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
                rate=_round(optimizer["rate"] * multiplier(self.settings["lr_multiplier"], full["optimizer"])),
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
            raise self.error(where, str(error)) from None
        return self.specs.setdefault(spec.id, spec).id

    def published(self, row: dict[str, Any]) -> PublishedSettings:
        """A row's settings by the columns of the paper's tables, before the scale changes them."""
        return {**self.row_defaults(row), "dataset": row["dataset"], "optimizer": row["optimizer"]}

    def row_defaults(self, row: dict[str, Any]) -> RowDefaults:
        """Those of them that have a default."""
        full = self._full(row)
        kind, strength = regularizer(full)
        return {
            "network": full["network"],
            "gamma_init": full["gamma_init"],
            "beta_init": full["beta_init"],
            "batch_size": full["batch_size"],
            "negative_slope": full["negative_slope"],
            "unregularized": full["unregularized"],
            "pool_after": full.get("pool_after"),
            "pool": full.get("pool"),
            "hidden": full.get("hidden"),
            "hidden_norm": full.get("hidden_norm"),
            "head_pool": full.get("head_pool"),
            "head_init": full.get("head_init"),
            "hyperparameters": full.get("hyperparameters"),
            "width": full.get("width"),
            "steps": full.get("steps"),
            "gamma_lr_scale": full["gamma_rate_scale"],
            "beta_lr_scale": full["beta_rate_scale"],
            "regularizer": kind,
            "strength": strength,
        }

    def dataset(self, published: str, where: str) -> Dataset:
        """What this scale has for a published dataset."""
        name = (self.settings["substitutes"] or {}).get(published, published)
        shrunk = f"{name}_{self.settings['image_side']}"
        name = shrunk if shrunk in self.datasets else name
        if name not in self.datasets:
            known = ", ".join(self.datasets)
            raise self.error(where, f"{name!r} is not in {self.settings['datasets']}: {known}")
        return self.datasets[name]

    def missing_inputs(self, names: Iterable[str]) -> list[str]:
        """Of some datasets, those that only the user can get and that are not there, and how to get them."""
        used = [self.datasets[name] for name in dict.fromkeys(names)]
        return [f"{d.name} ({d.instructions})" for d in used if not self._there(d)]

    def renders(self, datasets: Iterable[str]) -> dict[str, RenderSettings]:
        """The settings of the families of renders that some datasets are composed of, which must say the same."""
        families = {}
        for name in datasets:
            if family := renders_of(name):
                where = f"renders.{family}"
                if family not in self.experiments.get("renders", {}):
                    raise self.error(where, f"{name} is composed of these renders, but they are not there")
                settings = {k: fact["value"] for k, fact in self.experiments["renders"][family].items()}
                classes, (train, test) = len(settings["classes"]), settings["images"]
                said = (classes, classes * train, classes * test, settings["side"])
                line = self.datasets[name]
                if said != (line.classes, line.train, line.test, line.side):
                    raise self.error(
                        where,
                        f"{said[0]} classes, {said[1]} and {said[2]} images of side {said[3]} are not what "
                        f"{self.settings['datasets']} says of {name}",
                    )
                families[family] = settings
        return families

    def known(self, part: str, name: Any, where: str) -> dict[str, Any]:
        if name not in self.experiments[part]:
            known = ", ".join(self.experiments[part])
            raise self.error(where, f"{name!r} is not one of the {part}: {known}")
        return self.experiments[part][name]

    def _full(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row's settings, and the defaults for those that it does not give."""
        return {**{k: fact["value"] for k, fact in self.experiments["defaults"].items()}, **row}

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
            head_pool=facts["head_pool"],
            head_init=facts["head_init"],
        )

    def _there(self, dataset: Dataset) -> bool:
        return dataset.access != "manual" or dataset.name in self.settings["manual_datasets"]

    def _phases(self, epochs: list[int], steps_per_epoch: int, wanted: int | None) -> tuple[int, ...]:
        """Published epochs as steps; where the scale wants a number of steps, each phase keeps its share of it."""
        ends = list(itertools.accumulate((e * steps_per_epoch for e in epochs), initial=0))
        if wanted is not None:
            ends = [round(wanted * end / ends[-1]) for end in ends]
        return tuple(b - a for a, b in itertools.pairwise(ends))


def _round(value: float) -> float:
    """12 digits: 1e-3 times 10 is 0.01, and equal settings have equal ids."""
    return float(f"{value:.12g}") if math.isfinite(value) else value
