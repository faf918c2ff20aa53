"""Which channels of a network are constant once its dead features have no scale: found by computing, not by rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from .layers import call

# Standard deviations of the noise. Small ones leave gates unsaturated, large ones bring every living feature to life.
_SCALES = (10.0, 1e3, 1e6, 1e6)
_TOLERANCE = 1e-6  # of a constant's value, absolute and relative: rounding


@contextmanager
def replicated_borders(model: nn.Module) -> Iterator[None]:
    """Within the block, convolutions pad with the border's values, not zeros: a constant map stays one."""
    convs = [m for m in model.modules() if isinstance(m, _ConvNd) and not isinstance(m, _ConvTransposeNd)]
    modes = [conv.padding_mode for conv in convs]
    try:
        for conv in convs:
            if conv.padding_mode == "zeros":
                conv.padding_mode = "replicate"
        yield
    finally:
        for conv, mode in zip(convs, modes, strict=True):
            conv.padding_mode = mode


def _extremes(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The smallest and the largest value of each channel (C,)."""
    others = [d for d in range(x.ndim) if d != dim % x.ndim]
    return x.amin(others), x.amax(others)


def _is_constant(low: Tensor, high: Tensor) -> Tensor:
    return high - low <= _TOLERANCE * (1 + low.abs())  # NaN is not


def _noise_instead(module: Any, inputs: Any, output: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """Noise in place of what a convolution or linear layer computes, but for channels computed from constants only."""
    linear = isinstance(module, nn.Linear)
    groups = 1 if linear else module.groups
    dim = -1 if linear else 1
    constant = _is_constant(*_extremes(inputs[0], dim)).view(groups, -1).all(1)
    of_outputs = constant.repeat_interleave(output.shape[dim] // groups)
    noise = torch.randn(output.shape, generator=generator, dtype=torch.float32).to(output) * scale
    shape = [1] * output.ndim
    shape[dim] = -1
    return torch.where(of_outputs.view(shape), output, noise)


@torch.no_grad()
def constant_inputs(model: nn.Module, inputs: Any, replicate: bool) -> Mapping[str, Tensor]:
    """The constants (channels,) that each convolution and linear layer is given, NaN where a channel varies.

    `model` has gamma 0 at its dead features. It computes the inputs several times, with noise in place of what each
    convolution and linear layer gives, so that a channel that is the same at all images, positions and times is so
    because of dead features alone: through sums, gates, pooling and concatenations, whatever the forward is. With
    `replicate` borders do not count (zero padding makes a constant map vary at its border).
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}
    generator = torch.Generator().manual_seed(0)
    scale = _SCALES[0]

    def before(name: str, dim: int) -> Any:
        def hook(module: nn.Module, given: Any) -> None:
            low, high = _extremes(given[0], dim)
            if name in found:
                low, high = torch.minimum(low, found[name][0]), torch.maximum(high, found[name][1])
            found[name] = low, high

        return hook

    def after(module: nn.Module, given: Any, output: Tensor) -> Tensor:
        return _noise_instead(module, given, output, scale, generator)

    with ExitStack() as stack:
        if replicate:
            stack.enter_context(replicated_borders(model))
        for name, module in model.named_modules():
            if isinstance(module, _ConvNd | nn.Linear):
                dim = -1 if isinstance(module, nn.Linear) else 1
                stack.callback(module.register_forward_pre_hook(before(name, dim)).remove)
                stack.callback(module.register_forward_hook(after).remove)
        for scale in _SCALES:  # noqa: B007 (the hooks use it)
            call(model, inputs)
    return {
        name: torch.where(_is_constant(low, high), (low + high) / 2, torch.nan) for name, (low, high) in found.items()
    }
