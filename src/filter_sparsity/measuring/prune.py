"""Removing filters from a trained network of `training.models`.

`networks.shrink` does so for any network, by Torch-Pruning's dependency graph. Records do without it: a campaign
measures where Torch-Pruning is not installed, the graph does not see convolutions of `training.fast_conv`, and to
`shrink` a dead feature has gamma 0, where the paper's pruning takes the whole feature for 0.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..training.models import ConvNet


@torch.no_grad()
def remove(model: ConvNet, dead: Sequence[Tensor], fold: bool = False) -> ConvNet:
    """A smaller network without the dead filters; `dead` has a bool tensor (filters,) per convolution, C1 first.

    A filter goes with its BatchNorm entry and with its input channel of the next convolution or of the head. Its
    neighbours are untouched, so the result computes what the network computes with the dead features set to zero.

    A feature with |gamma| < 1e-3 is not zero but close to the constant c = activation(beta). If beta > 0, the next
    layer loses that constant. With `fold` it is kept: the sum over the kernel of weight * c is taken from the next
    BatchNorm's running mean, or added to the head's bias. That is exact in the head and inside a map; at the border,
    where the padding was zero and not c, it is not.

    A layer whose filters are all dead keeps one, zeroed, so that the network still has the layer.
    """
    small = copy.deepcopy(model)
    convs, norms, head = small.convs, small.norms, small.head[0]
    positions = head.in_features // convs[-1].out_channels
    for i, gone in enumerate(dead):
        constant = model.activation(norms[i].bias) * gone
        last = i + 1 == len(convs)
        if fold and last:
            head.bias.add_(head.weight @ constant.repeat_interleave(positions))
        elif fold:
            cast("Tensor", norms[i + 1].running_mean).sub_(convs[i + 1].weight.sum((2, 3)) @ constant)
        keep = ~gone
        if gone.all():
            keep[0] = True
            norms[i].weight[0] = norms[i].bias[0] = 0.0
        for name in ("weight", "bias"):
            _keep(convs[i], name, keep)
        for name in ("weight", "bias", "running_mean", "running_var"):
            _keep(norms[i], name, keep)
        convs[i].out_channels = norms[i].num_features = int(keep.sum())
        if last:
            _keep(head, "weight", keep.repeat_interleave(positions), dim=1)
            head.in_features = head.weight.shape[1]
        else:
            _keep(convs[i + 1], "weight", keep, dim=1)
            convs[i + 1].in_channels = int(keep.sum())
    return small


def _keep(module: nn.Module, name: str, keep: Tensor, dim: int = 0) -> None:
    """Keep some entries of a parameter or buffer along a dimension; does nothing for a bias that is None."""
    value = getattr(module, name)
    if value is not None:
        kept = value.index_select(dim, keep.nonzero().flatten())
        setattr(module, name, nn.Parameter(kept) if isinstance(value, nn.Parameter) else kept)


@torch.no_grad()
def mask(model: ConvNet, dead: Sequence[Tensor]) -> ConvNet:
    """The same network with the dead features set to zero (gamma and beta 0). Equal in outputs to `remove`."""
    masked = copy.deepcopy(model)
    for norm, gone in zip(masked.norms, dead, strict=True):
        norm.weight[gone] = norm.bias[gone] = 0.0
    return masked
