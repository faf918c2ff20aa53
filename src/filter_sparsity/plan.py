"""The plan: every spec of a scale, and which runs each table and figure selects. The one thing later steps read.

Torch-free.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import seal
from .errors import UserError
from .parts import Claim, Dataset, Fact, Figure, RenderSettings, RowDefaults, ScaleSettings, Table
from .paths import ResultsFolder
from .spec import Spec


@dataclass
class Plan:
    """Specs by id, and the tables and figures that select them. `to_json` and `from_json` are inverse."""

    settings: ScaleSettings
    seeds: list[int]
    specs: dict[str, Spec]
    tables: dict[str, Table]
    figures: dict[str, Figure]
    row_defaults: RowDefaults
    datasets: dict[str, Dataset]  # those the specs and figures use
    facts: list[Fact]  # every setting with its source, for the page of method
    notes: list[str] = field(default_factory=list)
    seeds_by_dataset: dict[str, list[int]] = field(default_factory=dict)  # of datasets with seeds of their own
    renders: dict[str, RenderSettings] = field(default_factory=dict)  # of the families that are used
    claims: list[Claim] = field(default_factory=list)
    runs: dict[str, list[int]] | None = None  # seeds by spec of the stored runs; None: all are trained here

    def seeds_of(self, spec_id: str) -> list[int]:
        """The seeds of a spec's runs, trained here or stored; none for a spec without stored runs."""
        if self.runs is not None:
            return self.runs.get(spec_id, [])
        return self.seeds_by_dataset.get(self.specs[spec_id].dataset, self.seeds)

    @property
    def scale(self) -> str:
        return self.settings["scale"]

    @property
    def is_paper_scale(self) -> bool:
        """Whether data, width, steps and factors are the published ones: else no number is compared with the paper."""
        settings = self.settings
        multipliers = [settings["strength_multiplier"], settings["lr_multiplier"]]
        factors = [f for m in multipliers for f in (m.values() if isinstance(m, dict) else [m])]
        as_published = not settings["substitutes"] and settings["image_side"] is None and settings["steps"] is None
        return as_published and {settings["width"], *factors} == {1}

    @property
    def results_folder(self) -> ResultsFolder:
        return ResultsFolder.of(self.scale, self.settings.get("records", "trained"))

    @property
    def trains(self) -> bool:
        """Whether its runs are trained here; else their records come from the archive."""
        return self.runs is None

    @property
    def configuration_files(self) -> list[str]:
        """The files that the plan was built from, besides the settings."""
        return [*(str(path) for path in self.settings["experiments"].values() if path), self.settings["datasets"]]

    def table(self, name: str) -> Table:
        if name not in self.tables:
            raise UserError(f"no table is called {name!r}: there are {', '.join(self.tables)}")
        return self.tables[name]

    def figure(self, name: str) -> Figure:
        if name not in self.figures:
            raise UserError(f"no figure is called {name!r}: there are {', '.join(self.figures)}")
        return self.figures[name]

    @property
    def available_figures(self) -> list[str]:
        """Names of the figures whose inputs are available; the report lists the missing inputs of the others."""
        return [name for name, figure in self.figures.items() if not figure.get("missing_inputs")]

    @property
    def simulations(self) -> list[str]:
        """Names of the available figures that show a simulation."""
        return [name for name in self.available_figures if self.figures[name]["kind"] == "simulation"]

    def selected(self, name: str) -> list[str]:
        """Ids of the specs that a table or figure shows, each once, in its order."""
        parts = {**self.tables, **self.figures}
        if name not in parts:
            raise UserError(f"no table or figure is called {name!r}: there are {', '.join(parts)}")
        return list(dict.fromkeys(spec_ids(parts[name])))

    def datasets_shown_by(self, name: str) -> list[str]:
        """Datasets of the runs that a table or figure shows, or of its images; each as often as it is shown."""
        figure = self.figures.get(name)
        if figure and figure["kind"] == "gallery":
            return [figure["plain"], figure["cluttered"]]
        return [self.specs[spec_id].dataset for spec_id in self.selected(name)]

    def shown_by(self, name: str) -> list[str]:
        """Ids of the specs that a table or figure shows, or that `claims` compare; those that are trained."""
        if name == "claims":
            return [spec_id for spec_id in dict.fromkeys(spec_ids(self.claims)) if spec_id in self.specs]
        return self.selected(name)

    def _data(self) -> dict[str, Any]:
        datasets = {name: asdict(dataset) for name, dataset in self.datasets.items()}
        return {**self.__dict__, "specs": {k: v.to_dict() for k, v in self.specs.items()}, "datasets": datasets}

    @property
    def digest(self) -> str:
        return seal.digest_json(self._data(), seal.SPACED)

    def to_json(self) -> str:
        return json.dumps(seal.seal_json(self._data(), seal.SPACED), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, path: Path) -> Plan:
        try:
            data = seal.open_json(json.loads(path.read_text(encoding="utf-8")), seal.SPACED)
            specs = {k: Spec.from_dict(v) for k, v in data.pop("specs").items()}
            datasets = {name: Dataset(**entry) for name, entry in data.pop("datasets").items()}
            plan = cls(specs=specs, datasets=datasets, **data)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None
        except seal.Broken:
            raise UserError(
                f"{path} does not match its digest: the file was changed by hand, or comes from another version; "
                "make it again with `filter-sparsity plan`"
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(f"{path} is not a plan: make it again with `filter-sparsity plan`") from None
        for spec_id, spec in plan.specs.items():
            if spec.id != spec_id:
                raise UserError(
                    f"{path}: the settings under {spec_id} are those of {spec.id}: the file was edited by hand or "
                    "comes from another version; make it again with `filter-sparsity plan`"
                )
        return plan


def spec_ids(part: Any) -> Iterator[str]:
    """All values under a key `spec_id` or in a mapping under `specs`, in order of appearance."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "spec_id":
                yield value
            elif key == "specs":
                yield from value.values()
            else:
                yield from spec_ids(value)
    elif isinstance(part, list):
        for item in part:
            yield from spec_ids(item)
