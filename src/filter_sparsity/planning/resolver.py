"""From a row's settings and a scale to a spec, and to the words of the paper's tables. Torch-free."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

from ..errors import UserError
from ..parts import (
    Dataset,
    Multiplier,
    PublishedSettings,
    Regularizer,
    RenderSettings,
    RowDefaults,
    ScaleSettings,
    SpecSettings,
)
from ..paths import renders_of
from ..spec import Network, Spec
from .experiments import Experiments, NetworkRecipe, OptimizerRecipe, SourcedValue, values

T = TypeVar("T")

STRENGTHS: tuple[Literal["l2", "wd", "decoupled"], ...] = ("l2", "wd", "decoupled")  # a row has one of them or none

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

# Arguments of the classes in torch.optim that a recipe may give.
HYPERPARAMETERS = {
    "SGD": ("momentum", "nesterov"),
    "Adam": ("betas", "eps", "amsgrad"),
    "AdamW": ("betas", "eps", "amsgrad"),
    "Adamax": ("betas", "eps"),
    "NAdam": ("betas", "eps", "momentum_decay"),
    "RAdam": ("betas", "eps"),
    "RMSprop": ("alpha", "eps", "momentum", "centered"),
    "Adagrad": ("eps", "lr_decay", "initial_accumulator_value"),
    "Adadelta": ("rho", "eps"),
    "Adafactor": (),  # it has pairs of numbers
}


def multiplier(setting: Multiplier, optimizer: str) -> float:
    """One factor for all optimizers, or each optimizer's own, 1 where none is given."""
    return setting.get(optimizer, 1) if isinstance(setting, dict) else setting


def combine(parts: Sequence[SpecSettings]) -> SpecSettings:
    """Later parts win; `l2`, `wd` and `decoupled` replace one another."""
    merged: SpecSettings = {}
    for part in parts:
        if {*STRENGTHS} & part.keys():
            for key in STRENGTHS:
                merged.pop(key, None)
        merged.update(part)
    return merged


def regularizer(settings: SpecSettings) -> tuple[Regularizer, float]:
    """`l2`, `wd`, `decoupled` or `none`, and its strength."""
    return next(((key, settings[key]) for key in STRENGTHS if key in settings), ("none", 0))


class Resolver:
    """Turns the settings of rows and curves into specs, and remembers every spec it met."""

    def __init__(self, experiments: Experiments, settings: ScaleSettings, datasets: dict[str, Dataset]) -> None:
        self.experiments, self.settings, self.datasets = experiments, settings, datasets
        self.specs: dict[str, Spec] = {}
        self.seeds: dict[str, list[int]] = {}  # of datasets with seeds of their own at this scale
        self.published_datasets: set[str] = set()  # that rows and curves name
        for key, factor in (
            ("lr_multiplier", settings["lr_multiplier"]),
            ("strength_multiplier", settings["strength_multiplier"]),
        ):
            for name in factor if isinstance(factor, dict) else []:
                self.optimizer(name, f"the configuration's {key}")
        for name, optimizer in experiments["optimizers"].items():
            self._check_hyperparameters(optimizer["algorithm"], optimizer["hyperparameters"], f"optimizers.{name}")
        for name, facts in experiments["networks"].items():
            try:  # here, since a row that uses it stands in another file
                self._network(name, cast(NetworkRecipe, values(facts)), 1)
            except UserError as error:
                raise self.error(f"networks.{name}", str(error)) from None

    def error(self, place: str, said: str) -> UserError:
        """An error that names the file in which `place` stands, as `tables.table1.panels[0]`."""
        files: Mapping[str, Any] = self.settings["experiments"]
        part = place.split(".")[0].split("[")[0]
        part = "claims" if part == "specs" else part
        return UserError(f"{files.get(part) or files['recipe']}: {place}: {said}")

    def once(self, names: list[str], where: str, key: str) -> None:
        """Raise UserError for a name that stands there twice: the second would hide the first."""
        for name in names:
            if names.count(name) > 1:
                raise self.error(where, f"the {key} {name!r} is given twice")

    def spec(self, row: SpecSettings, where: str) -> str:
        """The id of the spec that a row's settings resolve to at this scale."""
        full = self._full(row)
        for key in ("dataset", "optimizer"):
            if key not in full:
                raise self.error(where, f"no {key} is given, here or around it")
        optimizer = self.optimizer(full["optimizer"], f"{where}.optimizer")
        network = self.network(full["network"], f"{where}.network")
        dataset = self.dataset(full["dataset"], f"{where}.dataset")
        self.published_datasets.add(full["dataset"])
        name = dataset.name
        self._check_hyperparameters(optimizer["algorithm"], full.get("hyperparameters", {}), where)
        batch = full["batch_size"]
        if batch > dataset.train:
            raise self.error(
                f"{where}.batch_size", f"{batch} is more than the {dataset.train} training images of {name}"
            )
        recipe = self.experiments.get("datasets", {}).get(full["dataset"], {})
        if seeds := recipe.get("seeds", {}).get(self.settings["scale"]):
            if self.settings["pack_seeds"]:
                raise self.error(f"datasets.{full['dataset']}.seeds", "not at a scale with pack_seeds")
            self.seeds[name] = seeds
        network = {**network, "hidden": recipe.get("hidden", {}).get(full["network"], network["hidden"])}
        given: Mapping[str, Any] = full
        facts = cast(NetworkRecipe, {k: given.get(k, value) for k, value in values(network).items()})
        if not dataset.side >> len(facts["pool_after"]):
            poolings = len(facts["pool_after"])
            raise self.error(where, f"{poolings} poolings leave nothing of {name}'s side {dataset.side}")
        kind, strength = regularizer(full)
        width, steps = full.get("width", self.settings["width"]), full.get("steps", self.settings["steps"])
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
                    steps if self._is_available(dataset) else None,  # what is not run cannot be too short
                ),
                rate_decay=full["rate_decay"],
                unregularized=full["unregularized"],
            )
        except UserError as error:
            raise self.error(where, str(error)) from None
        return self.specs.setdefault(spec.id, spec).id

    def check_names(self, settings: SpecSettings, where: str) -> None:
        """Raise UserError for a dataset, optimizer or network in some settings that is not there."""
        if "dataset" in settings:
            self.dataset(settings["dataset"], f"{where}.dataset")
        if "optimizer" in settings:
            self.optimizer(settings["optimizer"], f"{where}.optimizer")
        if "network" in settings:
            self.network(settings["network"], f"{where}.network")

    def published(self, row: SpecSettings) -> PublishedSettings:
        """A row's settings by the columns of the paper's tables, before the scale changes them."""
        return {**self.row_defaults(row), "dataset": row["dataset"], "optimizer": row["optimizer"]}

    def row_defaults(self, row: SpecSettings) -> RowDefaults:
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
        return [f"{d.name} ({d.instructions})" for d in used if not self._is_available(d)]

    def renders(self, datasets: Iterable[str]) -> dict[str, RenderSettings]:
        """The settings of the families of renders that some datasets are composed of, which must say the same."""
        families: dict[str, RenderSettings] = {}
        for name in datasets:
            if family := renders_of(name):
                where = f"renders.{family}"
                if family not in self.experiments.get("renders", {}):
                    raise self.error(where, f"{name} is composed of these renders, but they are not there")
                settings = cast(RenderSettings, values(self.experiments["renders"][family]))
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

    def optimizer(self, name: str, where: str) -> OptimizerRecipe:
        """The recipe of an optimizer that is named at `where`."""
        return self.known("optimizers", self.experiments["optimizers"], name, where)

    def network(self, name: str, where: str) -> dict[str, SourcedValue]:
        """The recipe of a network that is named at `where`."""
        return self.known("networks", self.experiments["networks"], name, where)

    def _check_hyperparameters(self, algorithm: str, given: Mapping[str, Any], where: str) -> None:
        for name in given:
            if name not in HYPERPARAMETERS[algorithm]:
                known = ", ".join(HYPERPARAMETERS[algorithm]) or "none"
                raise self.error(f"{where}.hyperparameters", f"torch.optim.{algorithm} has no {name!r}: it has {known}")

    def known(self, part: str, entries: Mapping[str, T], name: str, where: str) -> T:
        """The entry of a name that stands at `where`. Raises UserError if there is none."""
        if name not in entries:
            raise self.error(where, f"{name!r} is not one of the {part}: {', '.join(entries)}")
        return entries[name]

    def _full(self, row: SpecSettings) -> SpecSettings:
        """A row's settings, and the defaults for those that it does not give."""
        return cast(SpecSettings, {**values(self.experiments["defaults"]), **row})

    def _network(self, name: str, facts: NetworkRecipe, width: float) -> Network:
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

    def _is_available(self, dataset: Dataset) -> bool:
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
