"""Networks with filters that are dead by hand, and the masked network as truth."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def settle(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every BatchNorm statistics, scales and biases as after a training, all filters alive; ready for use."""
    generator = torch.Generator().manual_seed(seed)

    def between(low: float, high: float, like: Tensor) -> Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                module.weight.copy_(between(0.5, 1.5, module.weight))
                module.bias.copy_(between(-0.5, 0.5, module.bias))
                module.running_mean.copy_(between(-0.2, 0.2, module.running_mean))
                module.running_var.copy_(between(0.5, 2.0, module.running_var))
    return model.eval()


@torch.no_grad()
def kill(model: nn.Module, norm: str, filters: Sequence[int] | slice, beta: float = -0.5, gamma: float = 1e-5) -> None:
    module = model.get_submodule(norm)
    module.weight[filters] = gamma  # type: ignore[index, operator]
    module.bias[filters] = beta  # type: ignore[index, operator]


@torch.no_grad()
def masked(model: nn.Module, threshold: float = 1e-3) -> nn.Module:
    """The network whose dead features are the constants that they are without a scale."""
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight[module.weight.abs() < threshold] = 0.0
    return copied


@torch.no_grad()
def farthest(ours: nn.Module, theirs: nn.Module, x: Tensor) -> float:
    """The largest difference of two networks' outputs, as a share of the largest output."""
    a, b = ours(x), theirs(x)
    assert a.shape == b.shape
    return ((a - b).abs().max() / b.abs().max()).item()
