"""Whether two networks compute the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .layers import call, tensors


def difference(outputs: Any, truth: Any) -> float:
    """The largest difference of two outputs, as a share of the largest value; infinity if they do not fit."""
    largest = 0.0
    ours, theirs = list(tensors(outputs)), list(tensors(truth))
    if len(ours) != len(theirs):
        return float("inf")
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape or not torch.isfinite(a).all():
            return float("inf")
        if b.numel():
            size = max(b.abs().max().item(), 1e-12)
            largest = max(largest, (a.double() - b.double()).abs().max().item() / size)
    return largest


@torch.no_grad()
def largest_difference(ours: nn.Module, theirs: nn.Module, probes: Sequence[Any]) -> float:
    """The largest `difference` on the probes; infinity if our network cannot compute one."""
    try:
        return max(difference(call(ours, probe), call(theirs, probe)) for probe in probes)
    except (RuntimeError, ValueError, IndexError):
        return float("inf")


def noise_like(inputs: Any) -> Any:
    """Noise of the same shapes, means and standard deviations; what is not floating point stays."""
    generator = torch.Generator().manual_seed(1)

    def noise(x: Any) -> Any:
        if isinstance(x, Mapping):
            return {key: noise(value) for key, value in x.items()}
        if isinstance(x, list | tuple):
            return type(x)(map(noise, x))
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return x
        spread = x.std() if x.numel() > 1 else torch.ones(())
        return x.mean() + spread * torch.randn(x.shape, generator=generator).to(x)

    return noise(inputs)
