"""Measuring any network: a table of its layers from one pass over the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from .. import metrics, sparsity
from ..errors import UserError
from ..progress import Bar
from .cost import flops, parameters
from .layers import Layer, call, find_layers, require_ready, watched

_SHIFT = 17  # a float32 without its last 17 bits: 64 steps an octave
_STEPS = 11 * 64  # the largest response and the 11 octaves below it: a thousandth is 10 octaves below
# What `LayerTable.plot` draws: column, marker, colour (Okabe and Ito's, told apart by the colour-blind).
SHOWN = (
    ("sparsity_by_gamma", "o", "#0072B2"),
    ("sparsity_by_activation", "s", "#D55E00"),
    ("universality", "x", "#009E73"),
)


class Responses:
    """How the features (F,) of one layer respond, image by image, in memory that does not grow with the images.

    A feature's largest response is known only at the end, and universality counts the images that come within a
    thousandth of it (Section 2). So the images are counted by the size of their spatial maximum, in steps of 1.6 % at
    most, relative to the largest so far. The threshold is exact to that step.
    """

    def __init__(self, features: int, device: torch.device) -> None:
        self.highest = torch.full((features,), -torch.inf, device=device)
        self.largest = torch.zeros(features, device=device)  # absolute
        self.counts = torch.zeros(features, _STEPS, dtype=torch.int32, device=device)
        self.images = 0

    def add(self, high: Tensor, low: Tensor) -> None:
        """Count images by the spatial maxima and minima (images, F) of their features."""
        high, low = high.float(), low.float()
        before = self._step(self.highest)
        self.highest = torch.maximum(self.highest, high.amax(0))
        self.largest = torch.maximum(self.largest, torch.maximum(high, -low).amax(0))
        self.images += len(high)
        top = self._step(self.highest)
        grown = (top > before).nonzero().flatten()
        if len(grown):  # what was counted moves down, and below the last step it no longer matters
            place = torch.arange(_STEPS, device=high.device) - (top - before)[grown, None]
            moved = self.counts[grown].gather(1, place.clamp(min=0))
            self.counts[grown] = moved * (place >= 0)
        place = top - self._step(high)
        counted = (high > 0) & (place < _STEPS)
        self.counts.scatter_add_(1, place.clamp(max=_STEPS - 1).T, counted.T.int())

    @staticmethod
    def _step(values: Tensor) -> Tensor:
        """Which step a value is on, rising with it; all that is not positive is on the first."""
        return values.clamp(min=0).contiguous().view(torch.int32).long() >> _SHIFT

    def universality(self) -> np.ndarray:
        """Share of the images (F,) that activate each feature; 0 if none does."""
        threshold = self._step(self.highest) - self._step(self.highest * metrics.UNIVERSALITY_THRESHOLD)
        active = (self.counts * (torch.arange(_STEPS, device=self.counts.device) <= threshold[:, None])).sum(1)
        return active.double().cpu().numpy() / self.images


class LayerTable(pd.DataFrame):
    """A row a layer, in the order of the calls, and a last row `total`. Columns, shares in [0, 1]:

    filters; sparsity_by_gamma; sparsity_by_activation; universality (mean of all features); universality_living (of
    those that live by gamma); parameters, flops (the convolution's shares of the model's). The total of the shares is
    over features, for parameters and flops the sum. `features` has a row a feature.
    """

    _metadata: ClassVar[list[str]] = ["features"]
    features: pd.DataFrame

    @property
    def _constructor(self) -> type[LayerTable]:
        return LayerTable

    def dead(self, criterion: str = "gamma") -> dict[str, np.ndarray]:
        """Of each BatchNorm, by name, which features (F,) are dead by "gamma" or "activation": what `shrink` takes."""
        rules = {
            "gamma": ("gamma", sparsity.dead_by_gamma),
            "activation": ("largest_activation", sparsity.dead_by_activation),
        }
        if criterion not in rules:
            raise UserError(f"there is no criterion {criterion!r}: there are {', '.join(rules)}")
        column, is_dead = rules[criterion]
        by_norm = self.features.groupby("norm", sort=False)[column]
        return {str(norm): is_dead(values.to_numpy()) for norm, values in by_norm}

    def to_markdown(self, *args: Any, **kwargs: Any) -> str:  # type: ignore[override]
        """The table as Markdown, shares in percent. With arguments as pandas has it, which needs tabulate."""
        if args or kwargs:
            return pd.DataFrame(self).to_markdown(*args, **kwargs)
        heads = [str(self.index.name or ""), *(str(c).replace("_", " ") for c in self.columns)]
        lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * len(self.columns) + "|"]
        for name, row in self.iterrows():
            cells = [
                f"{row[c]:,.0f}" if c == "filters" else "" if np.isnan(row[c]) else f"{100 * row[c]:.1f} %"
                for c in self.columns
            ]
            lines.append("| " + " | ".join([str(name), *cells]) + " |")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:  # type: ignore[override]
        """Draw each layer's sparsities and universality, a row a layer; returns matplotlib's axes.

        Raises UserError if matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise UserError("drawing needs matplotlib: pip install matplotlib") from None
        shown = self.drop(index="total", errors="ignore")
        places = range(len(shown))
        if ax is None:
            ax = plt.subplots(figsize=(6, 1.2 + 0.17 * len(shown)), layout="constrained")[1]
        for column, marker, colour in SHOWN:
            label = column.replace("_", " ")
            ax.plot(100 * shown[column], places, marker=marker, color=colour, fillstyle="none", lw=0.6, label=label)
        ax.set_yticks(places, shown.index, fontsize="small")
        ax.set_ylim(len(shown) - 0.4, -0.6)  # the first layer at the top
        ax.set_xlim(-3, 103)
        ax.set_xlabel("share of a layer's filters, or mean over them (%)")
        ax.grid(alpha=0.3, lw=0.5)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(SHOWN), frameon=False, fontsize="small")
        return ax


def _images(batch: Any) -> Tensor:
    """The images of a batch: the batch, or its first part."""
    images = batch[0] if isinstance(batch, list | tuple) and batch else batch
    if not isinstance(images, Tensor):
        raise UserError(f"the loader gives {type(batch).__name__}: it must give tensors, or tuples that begin with one")
    return images


@torch.inference_mode()
def measure(model: nn.Module, loader: Iterable[Any], progress: bool = True) -> LayerTable:
    """Measure the sparsity of every convolution that a BatchNorm follows, in one pass over the data.

    Layers are found by following the first batch through the model, not by their names. The loader gives batches of
    images, or tuples that begin with them; for the sparsity of the paper, all training images, unflipped. They are
    moved to the model's device. Memory: 3 KB a feature, and what the model needs for a batch.

    Raises UserError if the model is in training mode, compiled, or has no such layer, and if the loader is empty.
    """
    require_ready(model)
    modules = dict(model.named_modules())
    device = next(model.parameters(), torch.empty(0)).device
    responses: dict[str, Responses] = {}
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    layers: list[Layer] = []
    counted: dict[str, int] = {}
    activated: dict[str, bool] = {}

    def report(norm: str, x: Tensor, after: bool) -> None:
        if norm in activated and activated[norm] == after:
            x = x.flatten(2) if x.ndim > 2 else x[..., None]
            high, low = x.amax(2), x.amin(2)
            if norm in seen:  # a shared module, called again
                high, low = torch.maximum(high, seen[norm][0]), torch.minimum(low, seen[norm][1])
            seen[norm] = high, low

    with Bar("measure", _length(loader), "batches", shown=progress) as shown:
        for batch in loader:
            x = _images(batch).to(device)
            if not layers:
                layers = find_layers(model, x[:1])
                counted = dict(flops(model, x[:1]))
                activated = {layer.norm: layer.activated for layer in layers}
                responses = {n: Responses(modules[n].num_features, device) for n in activated}
            with watched(model, lambda conv, norm: None, report):
                call(model, x)
            for norm, maxima in seen.items():
                responses[norm].add(*maxima)
            seen.clear()
            shown.update()
    if not layers:
        raise UserError("the loader is empty: there is nothing to measure on")
    rows, features = [], []
    for layer in layers:
        module: Any = modules[layer.norm]
        found = responses[layer.norm]
        if not found.largest.isfinite().all():
            raise UserError(f"{layer.norm} gives values that are not finite: look at the weights and the images")
        gamma, beta = (v.detach().float().cpu().numpy() for v in (module.weight, module.bias))
        each = pd.DataFrame(
            {
                "layer": layer.name,
                "norm": layer.norm,
                "filter": np.arange(len(gamma)),
                "gamma": gamma,
                "beta": beta,
                "largest_activation": found.largest.cpu().numpy(),
                "universality": found.universality(),
            }
        )
        features.append(each)
        rows.append(
            {
                "layer": layer.name,
                **_shares(each),
                "parameters": parameters(modules[layer.name]) / parameters(model),
                "flops": counted.get(layer.name, 0) / counted[""],
            }
        )
    both = pd.concat(features, ignore_index=True)
    sums = {column: sum(row[column] for row in rows) for column in ("parameters", "flops")}
    rows.append({"layer": "total", **_shares(both), **sums})
    table = LayerTable(rows).set_index("layer")
    table.features = both
    return table


def _shares(features: pd.DataFrame) -> Mapping[str, Any]:
    gamma, largest, universality = (features[c].to_numpy() for c in ("gamma", "largest_activation", "universality"))
    dead = sparsity.dead_by_gamma(gamma)
    living = sparsity.mean_of_living(universality, dead)
    return {
        "filters": len(features),
        "sparsity_by_gamma": dead.mean(),
        "sparsity_by_activation": sparsity.dead_by_activation(largest).mean(),
        "universality": universality.mean(),
        "universality_living": np.nan if living is None else living,
    }


def _length(loader: Iterable[Any]) -> int | None:
    return len(loader) if isinstance(loader, Sized) else None
