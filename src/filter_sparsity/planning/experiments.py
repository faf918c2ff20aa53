"""The files of recipe, tables, figures and claims: read, validated, and typed as their schemas say. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast

from ..errors import UserError
from ..parts import ClaimText, Dataset, Hyperparameters, Phase, SpecSettings, TestTerms
from .validation import check_text, read_yaml, validate


class SourcedValue(TypedDict):
    """A value with its source."""

    value: Any
    source: str
    note: NotRequired[str]


class OptimizerRecipe(TypedDict):
    algorithm: str  # class in torch.optim
    rate: float
    hyperparameters: Hyperparameters
    source: str
    note: NotRequired[str]


class NetworkRecipe(TypedDict):
    """A network at its published width; the values of a network in the recipe."""

    filters: list[int]
    kernels: list[int]
    conv_bias: bool
    pool_after: list[int]
    pool: str
    head_pool: str
    hidden: list[int]
    hidden_norm: bool
    head_init: str


class DatasetRecipe(TypedDict, total=False):
    seeds: dict[str, list[int]]  # by scale
    hidden: dict[str, SourcedValue]  # by network


class LabelledSettings(SpecSettings):
    label: str


class RowGroup(TypedDict):
    label: NotRequired[str]
    settings: NotRequired[SpecSettings]
    rows: list[LabelledSettings]


class Panel(TypedDict):
    label: NotRequired[str]
    settings: NotRequired[SpecSettings]
    groups: list[RowGroup]


class ColumnGroup(TypedDict):
    label: str
    settings: SpecSettings


class Table(TypedDict):
    source: str
    caption: str
    reference: NotRequired[str]
    settings: SpecSettings
    row_head: NotRequired[str]
    totals_only: NotRequired[bool]
    metrics: list[str]
    column_groups: NotRequired[list[ColumnGroup]]
    panels: list[Panel]


class CurveFigure(TypedDict):
    kind: Literal["affine", "universality"]
    source: str
    caption: str
    layers: NotRequired[list[str]]
    settings: SpecSettings
    curves: list[LabelledSettings]


class GalleryFigure(TypedDict):
    kind: Literal["gallery"]
    source: str
    caption: str
    plain: str
    cluttered: str


class SimulationPanel(TypedDict):
    label: str
    optimizer: str
    regularizer: Literal["l2", "wd"]
    rate_scale: NotRequired[float]


class HalfLives(TypedDict):
    iterations: SourcedValue
    panels: list[SimulationPanel]


class SimulationFigure(TypedDict):
    kind: Literal["simulation"]
    source: str
    caption: str
    start: SourcedValue
    phases: list[Phase]
    repeats: SourcedValue
    strengths: SourcedValue
    panels: list[SimulationPanel]
    half_lives: HalfLives


Figure = CurveFigure | GalleryFigure | SimulationFigure


class ClaimTest(TestTerms):
    spec: SpecSettings
    baseline: NotRequired[SpecSettings]
    layers: NotRequired[list[str]]


class Claim(ClaimText):
    tests: list[ClaimTest]


class Experiments(TypedDict):
    """What all files of experiments say together."""

    seeds: dict[str, list[int]]  # by scale
    defaults: dict[str, SourcedValue]
    conventions: dict[str, SourcedValue]
    networks: dict[str, dict[str, SourcedValue]]
    datasets: NotRequired[dict[str, DatasetRecipe]]
    optimizers: dict[str, OptimizerRecipe]
    renders: NotRequired[dict[str, dict[str, SourcedValue]]]
    tables: dict[str, Table]
    figures: dict[str, Figure]
    claims: list[Claim]
    specs: NotRequired[list[SpecSettings]]  # with anchors, for the tests of claims
    notes: list[str]


def values(facts: Mapping[str, SourcedValue]) -> dict[str, Any]:
    """The values of facts, without their sources."""
    return {name: fact["value"] for name, fact in facts.items()}


def read_experiments(files: Mapping[str, Any]) -> Experiments:
    """What the files of recipe, tables, figures and claims say, in one mapping. Raises UserError for a wrong one."""
    experiments: dict[str, Any] = {"figures": {}, "claims": [], "notes": []}
    for part, path in files.items():
        if path:
            content = validate(read_yaml(Path(path)), part, path)
            check_text(content, path)
            experiments |= content
    return cast(Experiments, experiments)


def read_datasets(path: Path) -> dict[str, Dataset]:
    """The datasets of a file such as config/datasets.yaml, by name. Raises UserError for a wrong one."""
    content = validate(read_yaml(path), "datasets", str(path))
    for name, entry in content.items():
        check_text({key: value for key, value in entry.items() if key != "local_names"}, str(path), name)
        if (published := entry.get("stands_for", name)) not in content:
            raise UserError(f"{path}: {name}.stands_for: {published!r} is not one of {', '.join(content)}")
    return {name: Dataset(name=name, **entry) for name, entry in content.items()}
