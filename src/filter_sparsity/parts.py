"""The parts of a plan, as plan.json has them: tables, figures, claims, and the settings they resolve to. Torch-free.

Keys under NotRequired are absent where they do not apply; the comment says where they do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict, get_args

Hyperparameters = dict[str, bool | float | list[float]]  # of a class in torch.optim
Multiplier = float | dict[str, float]  # one factor for all optimizers, or by optimizer, 1 for the others
MultiplierKey = Literal["strength_multiplier", "lr_multiplier"]
Regularizer = Literal["l2", "wd", "decoupled", "none"]
Region = Literal["at_least", "at_most", "within", "outside"]  # of a bound: where a claim's quantity must lie
REGIONS: tuple[Region, ...] = get_args(Region)  # the last two: of a distance from 0


class ExperimentFiles(TypedDict):
    """The files that describe the experiments."""

    recipe: str
    tables: str
    figures: str | None
    claims: str | None


class ScaleSettings(TypedDict):
    """The merged configuration of a scale; config.yaml and its schema say what each key means."""

    scale: str
    experiments: ExperimentFiles
    datasets: str  # a file
    substitutes: dict[str, str] | None
    image_side: int | None  # pixels; None: as published
    width: float
    steps: int | None  # None: as published
    strength_multiplier: Multiplier
    lr_multiplier: Multiplier
    history_points: int
    pack_seeds: bool
    device: str
    precision: str
    data_root: str | None
    manual_datasets: list[str]
    records: NotRequired[Literal["trained", "stored"]]
    verdict: NotRequired[str | None]  # a configuration file
    sensitivity: NotRequired[str | None]  # a configuration file
    train_first: NotRequired[list[str]]
    note: NotRequired[str]
    mirrors: NotRequired[dict[str, str]]


class SpecSettings(TypedDict, total=False):
    """Published settings of a spec: what a row, a curve or a side of a claim's test says in the configuration."""

    dataset: str
    network: str
    optimizer: str
    l2: float
    wd: float
    decoupled: float
    negative_slope: float
    gamma_init: float
    beta_init: float
    gamma_rate_scale: float
    beta_rate_scale: float
    unregularized: str
    batch_size: int
    schedule_batch: int
    phase_epochs: list[int]
    rate_decay: float
    pool_after: list[int]
    pool: str
    hidden: list[int]
    head_pool: str
    hidden_norm: bool
    head_init: str
    hyperparameters: Hyperparameters
    width: float
    steps: int


class RowDefaults(TypedDict):
    """Published settings of a row that says nothing of its own, by the columns of the paper's tables.

    None is what the paper does not vary: the network's, optimizer's or scale's own value holds.
    """

    network: str
    gamma_init: float
    beta_init: float
    batch_size: int
    negative_slope: float
    unregularized: str
    pool_after: list[int] | None
    pool: str | None
    hidden: list[int] | None
    hidden_norm: bool | None
    head_pool: str | None
    head_init: str | None
    hyperparameters: Hyperparameters | None
    width: float | None
    steps: int | None
    gamma_lr_scale: float
    beta_lr_scale: float
    regularizer: Regularizer
    strength: float


class PublishedSettings(RowDefaults):
    """Published settings of a row, before the scale changes them."""

    dataset: str
    optimizer: str
    phase_epochs: NotRequired[list[int]]  # of a row with a schedule that the paper does not have


class Row(TypedDict):
    label: str
    specs: dict[str, str]  # spec id by column group
    published: dict[str, PublishedSettings]  # by column group


class RowGroup(TypedDict):
    label: str
    rows: list[Row]


class Panel(TypedDict):
    label: str
    groups: list[RowGroup]


class Table(TypedDict):
    """A table: rows in groups in panels; a column for each column group, metric and layer."""

    missing_inputs: list[str]  # datasets that only the user can get, and how; then there are no panels
    source: str  # where the paper has it
    caption: str
    reference: str | None  # file of the paper's numbers
    row_head: str
    metrics: list[str]
    layers: list[str]  # of metrics that have them, `total` last
    column_groups: list[str]  # labels; one empty label where there is one group
    panels: list[Panel]


class Curve(TypedDict):
    label: str
    spec_id: str


class CurveFigure(TypedDict):
    """Gammas and betas over the training steps (affine), or histograms of universality, of the runs of some specs."""

    kind: Literal["affine", "universality"]
    source: str
    caption: str
    curves: list[Curve]
    layers: NotRequired[list[str]]  # of affine
    missing_inputs: NotRequired[list[str]]  # of a plan with stored records


class GalleryFigure(TypedDict):
    """Images of each class of two datasets of the same renders."""

    kind: Literal["gallery"]
    source: str
    caption: str
    plain: str
    cluttered: str
    missing_inputs: list[str]


class Phase(TypedDict):
    """A part of a simulation with gradients of one standard deviation."""

    deviation: float
    iterations: int
    source: str
    note: NotRequired[str]


class SimulationPanel(TypedDict):
    label: str
    optimizer: str
    regularizer: Literal["l2", "wd"]
    algorithm: str  # class in torch.optim
    rate: float
    hyperparameters: Hyperparameters


class SimulationFigure(TypedDict):
    """A scalar under random gradients, by optimizer, regularizer and strength."""

    kind: Literal["simulation"]
    source: str
    caption: str
    start: float
    phases: list[Phase]
    repeats: int
    strengths: list[float]
    panels: list[SimulationPanel]
    half_life_iterations: int  # of the simulation that finds how long the scalar takes to fall to half its start
    half_life_panels: list[SimulationPanel]  # besides those that are drawn
    missing_inputs: NotRequired[list[str]]  # of a plan with stored records


Figure = CurveFigure | GalleryFigure | SimulationFigure


class ClaimSide(TypedDict):
    """What a test of a claim is about: runs of a spec, or a curve of a simulation."""

    settings: SpecSettings
    spec_id: NotRequired[str]  # of runs
    panel: NotRequired[str]  # of a simulation, as the next two
    regularizer: NotRequired[Regularizer]
    strength: NotRequired[float]


class TestTerms(TypedDict):
    """What a test of a claim has in the configuration and in the plan: its region is exactly one of the last four."""

    metric: str
    precondition: NotRequired[bool]
    simulated: NotRequired[str]  # name of the simulated figure
    at_least: NotRequired[float]
    at_most: NotRequired[float]
    within: NotRequired[float]
    outside: NotRequired[float]


class ClaimTest(TestTerms):
    """A metric of `spec`, or its difference to that of `baseline`, and the region where it must lie."""

    layer: str  # empty where the metric has none
    spec: ClaimSide
    baseline: NotRequired[ClaimSide]
    repeats: NotRequired[int]  # of the simulated figure


class ClaimText(TypedDict):
    """What a claim says, and where the supplement says it."""

    id: str
    statement: str
    place: str
    rationale: str
    origin: NotRequired[Literal["supplement", "ours"]]  # who says or asks it
    holds_if: NotRequired[Literal["all", "any"]]  # of its tests hold
    headline: NotRequired[bool]  # whether it stands in the README and on page 1 of the report


class Claim(ClaimText):
    tests: list[ClaimTest]


class Fact(TypedDict):
    """A setting with its source, as a line of the report's page of method."""

    part: str
    name: str
    value: object
    source: str
    note: str


class RenderSettings(TypedDict):
    """Settings of a family of renders; recipe.yaml and its schema say what each key means."""

    classes: list[str]
    side: int  # pixels
    images: list[int]  # of a class: to train, to test
    samples: int  # rays of a pixel
    azimuth: list[float]  # least and most, degrees
    elevation: list[float]  # least and most, degrees
    plain: int  # grey level of the plain background
    reduction: list[int]
    seed: int


@dataclass(frozen=True)
class Dataset:
    """An entry of config/datasets.yaml: a dataset."""

    name: str
    version: str
    classes: int
    train: int
    test: int
    channels: int
    side: int
    flip: bool
    access: str  # ships (in a package), downloaded (by us), manual (got by the user)
    instructions: str  # what a user does to have it
    source: str
    licence: str
    citation: str
    stands_for: str = ""
    local_names: list[str] = field(default_factory=list)  # of the original data below data_root; any will do
    checksum: str = ""  # of the archive
    bytes: int | None = None  # of the archive
    digest: str = ""  # of the prepared content, where somebody has seen it
