"""The metrics of a run: what each is, how tables and claims show it, which column of the paper has it. Torch-free.

Every other module asks this table. To add a metric, see docs/experiments.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# The version of the measuring recipe, which every record has (`records.record.measuring_version`). Raise it when a
# formula of `measuring` changes, so that all runs are measured again: docs/measures.md.
MEASURING = 1

# Thresholds of the supplement (captions of Tables 1 and 4), but for the last.
GAMMA_THRESHOLD = 1e-3
ACTIVATION_THRESHOLD = 1e-12
UNIVERSALITY_THRESHOLD = 1e-3  # main paper: of the feature's largest response over the training set


class Kind(StrEnum):
    """How large a value may be, and how it is printed."""

    NUMBER = "number"  # not bounded; printed as it is
    SHARE = "share"  # in [0, 1]; printed in percent
    FEATURES = "share of features"  # a share that changes by one feature at a time


class Layers(StrEnum):
    """For which layers a record has a value of the metric."""

    NONE = "none"  # one value for the whole network
    EACH = "each layer"
    TOTAL = "each layer, and all layers together"
    HIDDEN = "each layer, and the hidden units of the head"


@dataclass(frozen=True)
class Metric:
    """What is known of a metric. A newline in a heading starts a new line of it."""

    name: str  # in records, tables.yaml and claims.yaml
    kind: Kind
    layers: Layers = Layers.NONE
    decimals: int = 0  # in tables, as the paper prints it: of the percentage for shares
    heading: str = ""  # of a table's column; without it no table may show the metric
    layers_heading: str = ""  # of a table, above the columns of the layers
    overview_heading: str = ""  # of the picture of all numbers that the paper prints
    label: str = ""  # in the text of a claim; without it no claim may test the metric
    published: tuple[str, ...] = ()  # columns of the paper's tables with {dataset} and {layer}; the first found counts
    signed: bool = False  # in [-1, 1], such as a correlation: seeds vary most where it is 0
    difference_of: tuple[str, str] | None = None  # of two metrics of the same run, instead of a measurement of its own
    of_living: bool = False  # a share of the features that live by gamma, not of all
    is_duration: bool = False  # of a simulation instead of a run: iterations, which a claim compares by their ratio

    @property
    def factor(self) -> int:
        """What a value is multiplied by to be printed: 100 for shares, which are printed in percent."""
        return 1 if self.kind == Kind.NUMBER else 100

    @property
    def recorded(self) -> bool:
        """Whether records have it: it is measured, of a run."""
        return not self.is_duration and self.difference_of is None

    @property
    def by_layer(self) -> bool:
        return self.layers != Layers.NONE


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "train_loss",
            Kind.NUMBER,
            decimals=2,
            heading="Train\nLoss",
            overview_heading="train\nloss",
            label="train loss",
            published=("train_loss",),
        ),
        Metric(
            "test_loss",
            Kind.NUMBER,
            decimals=2,
            heading="Test\nLoss",
            overview_heading="test\nloss",
            label="test loss",
            published=("test_loss",),
        ),
        Metric(
            "test_error",
            Kind.SHARE,
            decimals=1,
            heading="Test\nErr",
            overview_heading="test\nerror",
            label="test error",
            published=("{dataset}_test_error", "test_error"),
        ),
        Metric(
            "sparsity_by_gamma",
            Kind.FEATURES,
            Layers.TOTAL,
            heading="% Sparsity\nby γ",
            layers_heading="% Sparsity by γ, or % Filters Pruned",
            overview_heading="by γ",
            label="sparsity",
            published=("{dataset}_sparsity_by_gamma", "{layer}"),
        ),
        Metric(
            "sparsity_by_activation",
            Kind.FEATURES,
            Layers.TOTAL,
            heading="% Sparsity\nby Act",
            layers_heading="% Sparsity by Activation",
            overview_heading="by act.",
            label="sparsity by activation",
            published=("{dataset}_sparsity_by_activation",),
        ),
        Metric(
            "params_pruned",
            Kind.SHARE,
            heading="% Param\nPruned",
            overview_heading="params\npruned",
            label="params pruned",
            published=("conv_params_pruned",),
        ),
        Metric(
            "pruned_test_error",
            Kind.SHARE,
            decimals=1,
            heading="Pruned\nTest Err.",
            overview_heading="pruned\nerror",
            label="pruned test error",
            published=("pruned_test_error",),
        ),
        Metric("pruned_test_error_folded", Kind.SHARE),
        Metric(
            "pruning_cost",
            Kind.SHARE,
            label="pruned test error − test error",
            signed=True,
            difference_of=("pruned_test_error", "test_error"),
        ),
        Metric(
            "sparsity_difference",
            Kind.SHARE,
            Layers.TOTAL,
            label="sparsity by activation − by γ",
            signed=True,
            difference_of=("sparsity_by_activation", "sparsity_by_gamma"),
        ),
        Metric("universality", Kind.SHARE, Layers.EACH, label="universality"),
        Metric("universality_living", Kind.SHARE, Layers.EACH, label="universality of living features"),
        Metric("gamma_positive", Kind.FEATURES, Layers.EACH, label="γ > 0", of_living=True),
        Metric("beta_positive", Kind.FEATURES, Layers.EACH, label="β > 0", of_living=True),
        Metric("l2_dominates", Kind.SHARE, Layers.EACH, label="share of steps in which L2 outweighs γ's gradient"),
        Metric(
            "universality_beta_difference",
            Kind.NUMBER,
            Layers.EACH,
            label="universality, β > 0 minus β < 0",
            signed=True,
        ),
        Metric(
            "universality_beta_correlation",
            Kind.NUMBER,
            Layers.EACH,
            label="rank correlation of universality and β/γ",
            signed=True,
        ),
        Metric(
            "selectivity_l2_correlation",
            Kind.NUMBER,
            Layers.EACH,
            label="rank correlation of selectivity and the steps in which L2 outweighs γ's gradient",
            signed=True,
        ),
        Metric("silent_early", Kind.FEATURES, Layers.HIDDEN),
        Metric("silent_late", Kind.FEATURES, Layers.HIDDEN),
        Metric("decay_floor", Kind.NUMBER),
        Metric("half_life", Kind.NUMBER, label="half-life of a scalar", is_duration=True),
    )
}


def table_metrics() -> list[str]:
    """Names of the metrics that a table may show."""
    return [metric.name for metric in METRICS.values() if metric.heading]


def claim_metrics() -> list[str]:
    """Names of the metrics that a claim may test."""
    return [metric.name for metric in METRICS.values() if metric.label]


def signed_metrics() -> list[str]:
    """Names of the metrics that lie in [-1, 1]."""
    return [metric.name for metric in METRICS.values() if metric.signed]


def unbounded_metrics() -> list[str]:
    """Names of the metrics that are no shares."""
    return [metric.name for metric in METRICS.values() if metric.kind == Kind.NUMBER]
