"""Networks of convolution, BatchNorm and (leaky) ReLU, built from a spec. BasicNet and VGG differ only in data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..spec import Spec

SMALL_MAP = 4  # the side up to which a matrix product is the faster way to a convolution's weight gradient


class _SmallMapConv(torch.autograd.Function):
    """A convolution without bias that keeps the map's size; its weight gradient is one matrix product.

    oneDNN's own takes 1.5 to 4 times as long on maps of 4x4 and less, a twentieth to a tenth of a step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight = ctx.saved_tensors
        filters, channels, kernel, _ = weight.shape
        edge = (kernel // 2, kernel // 2)
        to_input = None
        if ctx.needs_input_grad[0]:
            arguments = (None, (1, 1), edge, (1, 1), False, (0, 0), 1, (True, False, False))
            to_input = torch.ops.aten.convolution_backward(grad, x, weight, *arguments)[0]
        windows = F.pad(x, edge * 2).permute(0, 2, 3, 1).unfold(1, kernel, 1).unfold(2, kernel, 1)
        rows = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel * kernel * channels)
        to_weight = grad.permute(0, 2, 3, 1).reshape(-1, filters).t() @ rows
        return to_input, to_weight.view(filters, kernel, kernel, channels).permute(0, 3, 1, 2)


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """What `conv(x)` gives, by the fastest way there is."""
    if x.device.type == "cpu" and x.shape[-1] <= SMALL_MAP and conv.bias is None and torch.is_grad_enabled():
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        return _SmallMapConv.apply(x.to(kind), conv.weight.to(kind))
    return conv(x)


class ConvNet(nn.Module):
    """Convolution, BatchNorm, activation, and 2x2 pooling where the spec says; then a fully connected head.

    Input (N, channels, side, side), output logits (N, classes). The convolutions keep the map's size.
    """

    def __init__(self, spec: Spec, channels: int, side: int, classes: int) -> None:
        super().__init__()
        network = spec.network
        self.negative_slope = spec.negative_slope
        self.pool_after = frozenset(network.pool_after)
        self.average = network.pool == "average"
        self.head_average = network.head_pool == "average"
        convs, norms = [], []
        for i, (filters, kernel) in enumerate(zip(network.filters, network.kernels, strict=True), start=1):
            convs.append(nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=network.conv_bias))
            norms.append(nn.BatchNorm2d(filters))
            channels = filters
            side //= 2 if i in self.pool_after else 1
        positions = 1 if self.head_average else side * side
        widths = [channels * positions, *network.hidden, classes]
        head = [nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)]
        self.convs = cast("Sequence[nn.Conv2d]", nn.ModuleList(convs))
        self.norms = cast("Sequence[nn.BatchNorm2d]", nn.ModuleList(norms))
        self.head = cast("Sequence[nn.Linear]", nn.ModuleList(head))
        self.head_norms = nn.ModuleList(
            nn.BatchNorm1d(width) if network.hidden_norm else nn.Identity() for width in network.hidden
        )

    def activation(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope) if self.negative_slope else F.relu(x)

    def pool(self, x: Tensor, layer: int) -> Tensor:
        """2x2 pooling after convolution `layer` (1-based), if the network has it there."""
        if layer not in self.pool_after:
            return x
        return F.avg_pool2d(x, 2) if self.average else F.max_pool2d(x, 2)

    def classify(self, x: Tensor, seen: list[Tensor] | None = None) -> Tensor:
        """Logits from the last feature maps. `seen` gets the hidden layers' activations (N, units)."""
        x = x.mean((2, 3)) if self.head_average else x.flatten(1)
        for linear, norm in zip(self.head[:-1], self.head_norms, strict=True):
            x = F.relu(norm(linear(x)))
            if seen is not None:
                seen.append(x)
        return self.head[-1](x)

    def layer_outputs(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each layer, C1 first: its output after BatchNorm, and what the next layer gets, activated and pooled.

        The layer's activations before pooling are `activation` of the first; only measuring needs them.
        """
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), start=1):
            normed = norm(convolve(conv, x))
            # The maximum before a rising activation gives the same values and is cheaper by the pooled positions.
            x = self.pool(self.activation(normed), i) if self.average else self.activation(self.pool(normed, i))
            yield normed, x

    def forward(self, x: Tensor, seen: list[Tensor] | None = None) -> Tensor:
        """Logits. `seen` gets every layer's activations after its pooling, C1 first, then the hidden layers'."""
        passed = x
        for _, passed in self.layer_outputs(x):
            if seen is not None:
                seen.append(passed)
        return self.classify(passed, seen)


def build(spec: Spec, channels: int, side: int, classes: int) -> ConvNet:
    """A network for images of `channels` x `side` x `side`, weights drawn from torch's global generator.

    Weights are Xavier-initialised with the gain for ReLU (Section 2.1 of the main paper), biases 0, the head's only if
    its `head_init` says so; gamma and beta start where the spec says (Section 4 and Table 3 of the supplement).
    """
    model = ConvNet(spec, channels, side, classes)
    xavier = (nn.Conv2d, nn.Linear) if spec.network.head_init == "xavier" else (nn.Conv2d,)
    for module in model.modules():
        if isinstance(module, xavier):
            nn.init.xavier_uniform_(module.weight, gain=nn.init.calculate_gain("relu"))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, spec.gamma_init)
            nn.init.constant_(module.bias, spec.beta_init)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
