"""Networks of convolution, BatchNorm and (leaky) ReLU, built from a spec. BasicNet and VGG differ only in data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..spec import Spec
from .fast_conv import convolve


class _Uncounted(nn.modules.batchnorm._BatchNorm):
    """BatchNorm that does not count its batches in every pass: on a GPU each layer's count is a kernel.

    With a fixed momentum nothing uses the count. `ConvNet.count_batches` sets it for those who save the network.
    """

    def forward(self, x: Tensor) -> Tensor:
        assert self.momentum is not None
        mean, variance = self.running_mean, self.running_var
        return F.batch_norm(x, mean, variance, self.weight, self.bias, self.training, self.momentum, self.eps)


class BatchNorm2d(_Uncounted, nn.BatchNorm2d):
    """Of feature maps."""


class BatchNorm1d(_Uncounted, nn.BatchNorm1d):
    """Of hidden units."""


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
            norms.append(BatchNorm2d(filters))
            channels = filters
            side //= 2 if i in self.pool_after else 1
        positions = 1 if self.head_average else side * side
        widths = [channels * positions, *network.hidden, classes]
        head = [nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)]
        self.convs = cast("Sequence[nn.Conv2d]", nn.ModuleList(convs))
        self.norms = cast("Sequence[nn.BatchNorm2d]", nn.ModuleList(norms))
        self.head = cast("Sequence[nn.Linear]", nn.ModuleList(head))
        self.head_norms = nn.ModuleList(
            BatchNorm1d(width) if network.hidden_norm else nn.Identity() for width in network.hidden
        )

    def count_batches(self, count: int) -> None:
        """Say that `count` batches were trained on, as torch's own BatchNorm counts them."""
        for name, buffer in self.named_buffers():
            if name.endswith("num_batches_tracked"):
                buffer.fill_(count)

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
