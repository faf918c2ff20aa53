"""Shrinking any network: a copy without its dead filters, their constants folded into what follows."""

from __future__ import annotations

import copy
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from .. import metrics
from ..errors import UserError
from .agreement import largest_difference, noise_like
from .constants import replicated_borders
from .cost import Cost, costs
from .layers import Layer, find_layers, require_ready
from .removable import GRAPH, Group, choose, dead_features, find_groups, table

SUBNORMAL = 1e-19  # products of two float32 values of at least this size are normal numbers


@dataclass(frozen=True)
class Report:
    """What `shrink` did. `layers` has a row a BatchNorm: layer, norm, filters, dead, removed, kept_because.

    `difference` is the largest between the outputs of the small and of the masked network (gamma 0 at dead features)
    on the example, as a share of the largest output; `from_original` the same from the network as it was given.
    """

    before: Cost
    after: Cost
    layers: pd.DataFrame
    difference: float
    from_original: float

    def __str__(self) -> str:
        dead, removed = int(self.layers["dead"].sum()), int(self.layers["removed"].sum())
        lines = [f"{dead} dead features of {int(self.layers['filters'].sum())}; {removed} removed"]
        reasons: Counter[str] = Counter()
        for each in self.layers["kept_because"]:
            reasons.update(each)
        lines += [f"  {count} kept: {reason}" for reason, count in reasons.most_common()]
        for name, form in (("parameters", ",d"), ("flops", ",d"), ("latency", ",.2f")):
            before, after = getattr(self.before, name), getattr(self.after, name)
            if before is not None:
                unit = " ms" if name == "latency" else ""
                lines.append(f"{name}: {before:{form}} -> {after:{form}}{unit}")
        lines.append(
            f"outputs differ from the masked network's by {self.difference:.1e}, from the original's by"
            f" {self.from_original:.1e}"
        )
        return "\n".join(lines)


def shrink(
    model: nn.Module,
    example_inputs: Any,
    criterion: str | Mapping[str, Any] = "gamma",
    threshold: float = metrics.GAMMA_THRESHOLD,
    border: str = "keep",
    multiple: int = 1,
    tolerance: float = 1e-4,
    latency_seconds: float = 0.5,
) -> tuple[nn.Module, Report]:
    """A smaller copy of the network without its dead filters, and a report. The model itself is not changed.

    A dead feature counts as the constant that it is with gamma 0: activation(beta). Constants are folded into what
    follows, a BatchNorm's running mean or a bias. That is exact, but not at the border of a convolution that pads with
    zeros. `border` says what becomes of such features: "keep" keeps them, "fold" removes them, and the difference that
    it makes is in the report. Constants up to 1e-6 are always folded. Features that stay have gamma 0. Parameters
    below 1e-19 become 0: they would make slow subnormal numbers.

    With `multiple`, dead features stay where they are needed for a multiple of filters in a layer: the fast kernels of
    some runtimes (ONNX Runtime's, with 8) work on blocks of channels.

    `criterion` is "gamma", which takes features with |gamma| < `threshold`, or a mapping from names of BatchNorms to
    bools (features,), as `measure(...).dead("activation")` has it. `example_inputs` is a tensor, a tuple of positional
    or a mapping of named arguments. `latency_seconds` is how long latency is measured, 0 for not at all.

    The outputs for the example, and for noise in its place, must differ from those of the masked network by at most
    `tolerance` of the largest output; with folded borders, where both networks pad with the border's values. Build a
    new optimizer for the small network: an old one holds the parameters of the large one. Raises UserError if the model
    or an argument cannot be used, or if the check fails.
    """
    require_ready(model)
    if border not in ("keep", "fold"):
        raise UserError(f'border is {border!r}: it is "keep" or "fold"')
    if multiple < 1:
        raise UserError(f"multiple is {multiple}: it is 1 or more")
    fold = border == "fold"
    layers = find_layers(model, example_inputs)
    masked = copy.deepcopy(model)
    groups = find_groups(masked, example_inputs)
    dead = dead_features(masked, layers, groups, criterion, threshold)
    with torch.no_grad():
        for norm, gone in dead.items():
            masked.get_parameter(f"{norm}.weight")[gone] = 0.0
    constants = choose(masked, groups, example_inputs, dead, fold, multiple)
    probes = [example_inputs, noise_like(example_inputs)]

    def agrees(small: nn.Module) -> bool:
        """With folded constants the two differ at zero-padded borders alone: so they are compared with others."""
        with ExitStack() as stack:
            for network in (masked, small) if fold else ():
                stack.enter_context(replicated_borders(network))
            return largest_difference(small, masked, probes) <= tolerance

    small = _without(masked, groups, constants, layers)
    if not agrees(small):
        for group in groups:  # find those that the graph gets wrong, each alone
            if group.removed and not agrees(_without(masked, [group], constants, layers)):
                group.keep_all(GRAPH)
        small = _without(masked, groups, constants, layers)
        if not agrees(small):
            raise UserError(
                f"the shrunk network's outputs differ from the masked network's by more than {tolerance:g} of the"
                " largest: nothing was changed"
            )
    difference, from_original = (largest_difference(small, other, probes) for other in (masked, model))
    before, after = costs([model, small], example_inputs, latency_seconds)
    return small, Report(before, after, table(groups, dead, layers), difference, from_original)


@torch.no_grad()
def _without(
    masked: nn.Module, groups: Sequence[Group], constants: Mapping[str, Tensor], layers: Sequence[Layer]
) -> nn.Module:
    """A copy of the masked network without the removed channels of the groups, their constants folded."""
    small = copy.deepcopy(masked)
    cuts: dict[tuple[str, Any, bool], set[int]] = defaultdict(set)
    for group in groups:
        for cut in group.cuts:
            gone = {i for i, root in cut.places if root in group.removed}
            if gone:
                cuts[cut.name, cut.prune, cut.of_inputs] |= gone
    norms = _own_norms(layers)
    for (name, _, of_inputs), gone in cuts.items():
        if of_inputs:
            norm = small.get_submodule(norms[name]) if name in norms else None
            _fold(small.get_submodule(name), norm, constants[name], sorted(gone))
    wanted = {name: p.requires_grad for name, p in small.named_parameters()}
    for (name, prune, _), gone in cuts.items():
        prune(small.get_submodule(name), sorted(gone))
    for name, p in small.named_parameters():
        p.requires_grad_(wanted[name])
    for value in itertools.chain(small.parameters(), small.buffers()):
        if value.is_floating_point():
            value[value.abs() < SUBNORMAL] = 0.0
    return small


def _own_norms(layers: Sequence[Layer]) -> Mapping[str, str]:
    """Of each convolution that has one, the BatchNorm that follows it alone, and that follows it only."""
    times = Counter(each for layer in layers for each in (layer.name, layer.norm))
    return {layer.name: layer.norm for layer in layers if times[layer.name] == times[layer.norm] == 1}


def _fold(module: Any, norm: Any, constants: Tensor, gone: Sequence[int]) -> None:
    """Keep what the removed inputs of a layer gave it: in the running mean of its BatchNorm, or in its bias."""
    c = torch.zeros_like(constants)
    c[gone] = constants[gone]
    if not c.any() or isinstance(module, _ConvTransposeNd):  # a transposed convolution's are negligible
        return
    weight = module.weight
    if isinstance(module, nn.Linear):
        added = weight @ c
    else:
        by_group = weight.flatten(2).sum(2).view(module.groups, -1, weight.shape[1])
        added = (by_group @ c.view(module.groups, -1, 1)).flatten()
    if norm is not None and norm.running_mean is not None:
        norm.running_mean.sub_(added)
    elif module.bias is not None:
        module.bias.add_(added)
    else:
        module.bias = nn.Parameter(added, requires_grad=weight.requires_grad)
