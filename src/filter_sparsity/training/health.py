"""Whether a network starts up: which of its features and hidden units never respond, as training sees them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..spec import HIDDEN
from .models import ConvNet

SAMPLE = 250  # training images on which a unit that gives no positive response is called silent
EARLY = 0.01  # of the steps: by then no decay has taken a layer's features to 0


@torch.no_grad()
def silent(model: ConvNet, images: Tensor) -> dict[str, float]:
    """Share of each layer's features, and of the head's hidden units, without a positive response to any image.

    `images` (N, channels, side, side) are normalised. BatchNorm takes their own statistics, as in a training step: the
    running ones lag behind at the start. The model stays as it is.
    """
    seen: list[Tensor] = []
    copy.deepcopy(model).train()(images, seen)
    dumb = [(x.flatten(2).amax(2) if x.dim() > 2 else x).amax(0) <= 0 for x in seen]
    count = len(model.convs)
    shares = {f"C{i}": float(layer.float().mean()) for i, layer in enumerate(dumb[:count], start=1)}
    hidden = dumb[count:]
    return shares | ({HIDDEN: float(torch.cat(hidden).float().mean())} if hidden else {})
