"""Removing filters from a trained network."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .models import ConvNet


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
    alive = [~d for d in dead]
    convs, norms = list(small.convs), list(small.norms)
    head = small.head[0]
    positions = head.in_features // convs[-1].out_channels
    for i, keep in enumerate(alive):
        constant = model.activation(norms[i].bias) * ~keep
        following = convs[i + 1] if i + 1 < len(convs) else head
        if fold and isinstance(following, nn.Conv2d):
            norms[i + 1].running_mean -= following.weight.sum((2, 3)) @ constant
        elif fold:
            following.bias += following.weight @ constant.repeat_interleave(positions)
        if not keep.any():
            keep = torch.arange(len(keep), device=keep.device) == 0
            norms[i].weight[0] = norms[i].bias[0] = 0.0
        convs[i].weight = nn.Parameter(convs[i].weight[keep])
        if convs[i].bias is not None:
            convs[i].bias = nn.Parameter(convs[i].bias[keep])
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(norms[i], name)[keep]
            setattr(norms[i], name, nn.Parameter(value) if isinstance(getattr(norms[i], name), nn.Parameter) else value)
        convs[i].out_channels = norms[i].num_features = int(keep.sum())
        if isinstance(following, nn.Conv2d):
            following.weight = nn.Parameter(following.weight[:, keep])
            following.in_channels = int(keep.sum())
        else:
            following.weight = nn.Parameter(following.weight[:, keep.repeat_interleave(positions)])
            following.in_features = following.weight.shape[1]
    return small


@torch.no_grad()
def mask(model: ConvNet, dead: Sequence[Tensor]) -> ConvNet:
    """The same network with the dead features set to zero (gamma and beta 0). Equal in outputs to `remove`."""
    masked = copy.deepcopy(model)
    for norm, gone in zip(masked.norms, dead, strict=True):
        norm.weight[gone] = norm.bias[gone] = 0.0
    return masked
