"""A spec: the frozen, fully resolved settings of a training without its seed."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from .errors import UserError
from .seal import digest_json

# Part of every spec id. Raise it when the meaning of a training changes (data order, initialisation, a formula),
# so that old runs are not taken for new ones.
RECIPE = 1

REGULARIZERS = ("l2", "wd", "decoupled", "none")
POOLS = ("maximum", "average")
HEAD_POOLS = ("none", "average")
HEAD_INITS = ("xavier", "torch")
HIDDEN = "hidden"  # the units of all hidden layers of the head, where a metric has them beside the layers
UNREGULARIZED = ("nothing", "head", "norms")
NOT_NEGATIVE = ("strength", "rate", "gamma_rate_scale", "beta_rate_scale", "negative_slope", "rate_decay")


@dataclass(frozen=True)
class Network:
    """The convolutional stack and head; lists have one entry per convolution, C1 first.

    What has a default came later than the rest: it is written only where it is another, so that older ids stay.
    """

    name: str
    filters: tuple[int, ...]
    kernels: tuple[int, ...]
    pool_after: tuple[int, ...]  # 1-based: 2x2 pooling after these convolutions
    conv_bias: bool
    hidden: tuple[int, ...]  # widths of the fully connected layers before the classifier
    pool: str = "maximum"  # maximum | average
    hidden_norm: bool = False  # whether a BatchNorm follows each of those layers
    head_pool: str = "none"  # average: the head sees each last feature's mean over its map; none: all its positions
    head_init: str = "xavier"  # of the head's weights and biases: as the convolutions', or torch's own for nn.Linear

    def __post_init__(self) -> None:
        count = len(self.filters)
        if len(self.kernels) != count:
            raise UserError(
                f"network {self.name}: {count} filters but {len(self.kernels)} kernels: give one of each a layer"
            )
        if not all(kernel % 2 for kernel in self.kernels):
            raise UserError(f"network {self.name}: kernels are {list(self.kernels)}: only odd ones keep the map's size")
        if not set(self.pool_after) <= set(range(1, count + 1)):
            raise UserError(f"network {self.name}: pool_after is {list(self.pool_after)}: the layers are 1 to {count}")
        for key, allowed in (("pool", POOLS), ("head_pool", HEAD_POOLS), ("head_init", HEAD_INITS)):
            if getattr(self, key) not in allowed:
                raise UserError(
                    f"network {self.name}: {key} is {getattr(self, key)!r}: allowed are {', '.join(allowed)}"
                )

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(f"C{i}" for i in range(1, len(self.filters) + 1))

    def features(self, layer: str) -> int:
        """How many a layer has, or all layers together: `total`."""
        return sum(self.filters) if layer == "total" else self.filters[self.layers.index(layer)]


@dataclass(frozen=True)
class Spec:
    """Everything that decides a training but its seed. Equal specs have equal ids, in every table they stand in."""

    dataset: str
    flip: bool  # random horizontal flips
    network: Network
    negative_slope: float  # of the activation below zero; 0 is ReLU
    gamma_init: float
    beta_init: float
    optimizer: str  # our name, e.g. "amsgrad"
    algorithm: str  # the class in torch.optim
    rate: float  # base learning rate
    hyperparameters: dict[str, Any]  # further arguments of that class
    gamma_rate_scale: float  # learning rate of the gammas, relative to the rest
    beta_rate_scale: float
    regularizer: str  # l2 | wd | decoupled (torch's own weight decay: base rate times lambda) | none
    strength: float  # lambda
    batch_size: int
    phase_steps: tuple[int, ...]  # iterations of each phase of the schedule
    rate_decay: float  # factor of the learning rate from one phase to the next
    recipe: int = RECIPE
    unregularized: str = "nothing"  # nothing | head | norms (gammas and betas); written only where it is not nothing

    def __post_init__(self) -> None:
        for name in (*NOT_NEGATIVE, "gamma_init", "beta_init"):
            value = float(getattr(self, name))
            object.__setattr__(self, name, value)  # 1 and 1.0 are one setting, so they must be one spec id
            if not math.isfinite(value) or (name in NOT_NEGATIVE and value < 0):
                least = ", 0 or more" if name in NOT_NEGATIVE else ""
                raise UserError(f"{name} is {value:g}: it must be a finite number{least}")
        if self.regularizer not in REGULARIZERS:
            raise UserError(f"regularizer is {self.regularizer!r}: allowed are {', '.join(REGULARIZERS)}")
        if self.unregularized not in UNREGULARIZED:
            raise UserError(f"unregularized is {self.unregularized!r}: allowed are {', '.join(UNREGULARIZED)}")
        if self.batch_size < 2:
            raise UserError(f"batch_size is {self.batch_size}: BatchNorm needs 2 images or more")
        if not self.phase_steps or min(self.phase_steps) < 1:
            raise UserError(f"phase_steps are {list(self.phase_steps)}: each phase needs 1 step or more")

    @property
    def steps(self) -> int:
        return sum(self.phase_steps)

    def to_dict(self) -> dict[str, Any]:
        data = json.loads(json.dumps(dataclasses.asdict(self)))  # tuples become lists, as in every file
        defaults = {field.name: field.default for field in dataclasses.fields(Network)}
        data["network"] = {k: v for k, v in data["network"].items() if v != defaults[k]}
        if self.unregularized == "nothing":  # as above: it came later than the rest
            del data["unregularized"]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Spec:
        """The inverse of `to_dict`. Raises UserError for missing or unknown keys."""
        try:
            parts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data["network"].items()}
            return cls(**{**data, "network": Network(**parts), "phase_steps": tuple(data["phase_steps"])})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(f"not a spec: {error}") from None

    @property
    def id(self) -> str:
        """Readable slug plus six hex digits of the digest of all settings."""
        return f"{self._slug()}-{digest_json(self.to_dict())[:6]}"

    def _slug(self) -> str:
        parts = [self.dataset, self.network.name]
        if self.negative_slope:
            parts.append(f"leaky_{short(self.negative_slope)}")
        parts.append(self.optimizer)
        parts.append("none" if self.regularizer == "none" else f"{self.regularizer}_{short(self.strength)}")
        for name, usual, mark in (
            ("gamma_init", 1, "gamma"),
            ("beta_init", 0, "beta"),
            ("gamma_rate_scale", 1, "gammarate"),
            ("beta_rate_scale", 1, "betarate"),
        ):
            value = getattr(self, name)
            if value != usual:
                parts.append(f"{mark}_{short(value)}")
        return "-".join(parts)


def short(value: float) -> str:
    """A number as people write it: 0.001 is 1e-3, 0.1 is 0.1, 1.0 is 1."""
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.6g}"
    mantissa, exponent = f"{value:.6e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
