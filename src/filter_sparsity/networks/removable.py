"""Which filters of any network may go, and why dead ones stay. The dependencies are Torch-Pruning's."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from ..errors import UserError
from .constants import constant_inputs
from .layers import Layer, call, tensors

NEGLIGIBLE = 1e-6  # a constant of at most this size is folded across zero padding, too

# What becomes of a dead feature: why it stays.
REMOVED = "removed"
OUTPUT = "part of the output"
UNKNOWN = "in a layer or parameter that filters cannot be taken from"
VARIES = "varies: another branch lives"
BORDER = "constant, but not at the border of a padded convolution"
TRANSPOSED = "constant, before a transposed convolution"
GROUPED = "in a grouped convolution that would lose unequally"
LAST = "last filter of its layer"
MULTIPLE = "kept for a multiple of filters"
GRAPH = "the dependency graph does not remove it rightly"
UNSEEN = "the dependency graph does not have its convolution"

_PRUNABLE = (_ConvNd, nn.Linear, _BatchNorm, nn.PReLU)


@dataclass(frozen=True)
class Cut:
    """What a module loses with the channels of a group."""

    name: str
    module: nn.Module
    prune: Callable[[nn.Module, list[int]], Any]  # Torch-Pruning's: takes entries from a module
    of_inputs: bool  # of a layer that mixes channels; all else counts as outputs
    places: list[tuple[int, int]]  # one of its inputs or outputs, and the channel that it goes with


@dataclass
class Group:
    """Channels, numbered from 0, that can only be removed in all the modules that have them."""

    size: int
    cuts: list[Cut]
    blocked: str = ""  # why none can be removed
    removed: set[int] = field(default_factory=set)
    kept: dict[int, str] = field(default_factory=dict)  # dead ones, and why

    def keep_all(self, reason: str) -> None:
        """Remove none after all."""
        self.kept.update(dict.fromkeys(self.removed, reason))
        self.removed = set()


def find_groups(model: nn.Module, inputs: Any) -> list[Group]:
    """The groups of channels that the dependency graph has for the model's convolutions.

    Raises UserError if Torch-Pruning fails.
    """
    from torch_pruning import DependencyGraph, ops

    names = {module: name for name, module in model.named_modules()}
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    try:
        model.requires_grad_(True)  # the graph is that of autograd: frozen layers would be missing
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            graph = DependencyGraph().build_dependency(
                model,
                inputs,
                forward_fn=call,
                output_transform=lambda out: [t * 1 for t in tensors(out) if t.requires_grad],  # seen as outputs
                verbose=False,
            )
            everything = list(graph.get_all_groups(root_module_types=(ops.TORCH_CONV,)))
    except Exception as error:
        said = " ".join([f"{type(error).__name__}:", *str(error).splitlines()[:1]])
        raise UserError(
            f"Torch-Pruning cannot follow {type(model).__name__} ({said}): shrink a part of the network instead"
        ) from error
    finally:
        for name, p in model.named_parameters():
            p.requires_grad_(wanted[name])
    groups = []
    for found in everything:
        group = Group(len(found[0].idxs), [])
        for item in found:
            module, prune = item.dep.target.module, item.dep.handler
            if isinstance(module, ops._OutputOp):
                group.blocked = group.blocked or OUTPUT
            elif isinstance(module, nn.Parameter) or (module in names and not isinstance(module, _PRUNABLE)):
                group.blocked = group.blocked or UNKNOWN
            elif module in names and not (isinstance(module, nn.PReLU) and module.num_parameters == 1):
                channelwise = isinstance(module, _BatchNorm | nn.PReLU) or _is_depthwise(module)
                of_inputs = not channelwise and graph.is_in_channel_pruning_fn(prune)
                channels = graph.get_in_channels(module) if of_inputs else graph.get_out_channels(module)
                places = [(i, root) for i, root in zip(item.idxs, item.root_idxs, strict=True) if i < channels]
                if len(places) < len(item.idxs):  # seen with channels that are split and joined again
                    group.blocked = group.blocked or GRAPH
                group.cuts.append(Cut(names[module], module, prune, of_inputs, places))
        groups.append(group)
    return groups


def _is_depthwise(module: nn.Module) -> bool:
    return (
        isinstance(module, _ConvNd) and module.groups > 1 and module.groups == module.out_channels == module.in_channels
    )


def dead_features(
    model: nn.Module,
    layers: Sequence[Layer],
    groups: Sequence[Group],
    criterion: str | Mapping[str, Any],
    threshold: float,
) -> dict[str, Tensor]:
    """Which features (F,) of each BatchNorm of the layers and groups are dead, by name. `shrink` explains the rest.

    Raises UserError for a criterion that does not exist, or that is of another model.
    """
    modules: dict[str, Any] = dict(model.named_modules())
    inside = {layer.norm for layer in layers} | {cut.name for group in groups for cut in group.cuts}
    norms = {n: m for n, m in modules.items() if n in inside and isinstance(m, _BatchNorm) and m.affine}
    if isinstance(criterion, str):
        if criterion != "gamma":
            raise UserError(f'there is no criterion {criterion!r}: give "gamma", or measure(...).dead("activation")')
        return {name: norm.weight.detach().abs() < threshold for name, norm in norms.items()}
    dead = {}
    for name, given in criterion.items():
        if name not in modules:
            raise UserError(f"the criterion names {name}, which the model does not have")
        if name in norms:
            gone = torch.as_tensor(given, device=norms[name].weight.device).bool()
            if gone.shape != norms[name].weight.shape:
                raise UserError(
                    f"the criterion has {gone.numel()} features of {name}, which has {norms[name].num_features}"
                )
            dead[name] = gone
    return dead


def choose(
    masked: nn.Module,
    groups: Sequence[Group],
    inputs: Any,
    dead: Mapping[str, Tensor],
    fold: bool,
    multiple: int,
) -> Mapping[str, Tensor]:
    """Decide for every group which channels go, and why dead ones stay. Returns the constants of layers' inputs.

    `masked` has gamma 0 at the dead features. With `fold` borders do not count. A multiple of `multiple` stays.
    """
    inside = constant_inputs(masked, inputs, replicate=True)
    exact = constant_inputs(masked, inputs, replicate=False)
    for group in groups:
        candidates = {root for cut in group.cuts if cut.name in dead for i, root in cut.places if dead[cut.name][i]}
        if group.blocked:
            group.kept = dict.fromkeys(candidates, group.blocked)
            continue
        reasons: dict[int, str] = {}
        for cut in group.cuts:
            if not cut.of_inputs:
                continue
            values, everywhere = inside[cut.name].tolist(), (~exact[cut.name].isnan()).tolist()
            padded = _pads_with_zeros(cut.module)
            for i, root in cut.places:
                if values[i] != values[i]:
                    reasons[root] = VARIES
                elif abs(values[i]) > NEGLIGIBLE and isinstance(cut.module, _ConvTransposeNd):
                    reasons.setdefault(root, TRANSPOSED)
                elif abs(values[i]) > NEGLIGIBLE and not fold and (padded or not everywhere[i]):
                    reasons.setdefault(root, BORDER)
        free = candidates - reasons.keys()
        group.removed = _lost_equally(group, free)
        reasons.update(dict.fromkeys(free - group.removed, GROUPED))
        left = group.size - len(group.removed)
        more = max(1, -(-left // multiple) * multiple) - left  # these stay, and those that only go with them
        group.removed = _lost_equally(group, set(sorted(group.removed)[more:]))
        for root in free - group.removed:
            reasons.setdefault(root, MULTIPLE if left else LAST)
        group.kept = {root: reasons[root] for root in candidates - group.removed}
    return inside


def _pads_with_zeros(module: Any) -> bool:
    if not isinstance(module, _ConvNd) or module.padding_mode != "zeros":
        return False
    return module.padding == "same" or (module.padding != "valid" and any(module.padding))


def _lost_equally(group: Group, roots: set[int]) -> set[int]:
    """Those of the channels that every grouped convolution of the group loses at the same places of all its groups."""
    together: list[set[int]] = []  # sets of channels that only go together
    for cut in group.cuts:
        module = cut.module
        if isinstance(module, _ConvNd) and module.groups > 1 and not _is_depthwise(module):
            width = (module.in_channels if cut.of_inputs else module.out_channels) // module.groups
            places = defaultdict(set)
            for i, root in cut.places:
                places[i % width].add(root)
            together += places.values()
    chosen = set(roots)
    while broken := [each for each in together if each & chosen and not each <= chosen]:
        chosen.difference_update(*broken)
    return chosen


def table(groups: Sequence[Group], dead: Mapping[str, Tensor], layers: Sequence[Layer]) -> pd.DataFrame:
    """A row for every BatchNorm: its dead features, and what became of them."""
    layer_of = {layer.norm: layer.name for layer in layers}
    became = {norm: dict.fromkeys(gone.nonzero().flatten().tolist(), UNSEEN) for norm, gone in dead.items()}
    for group in groups:
        for cut in group.cuts:
            for i, root in cut.places:
                if i in became.get(cut.name, ()):
                    became[cut.name][i] = REMOVED if root in group.removed else group.kept[root]
    rows = []
    for norm, each in became.items():
        counts = Counter(each.values())
        removed = counts.pop(REMOVED, 0)
        filters = len(dead[norm])
        row = {"layer": layer_of.get(norm, ""), "norm": norm, "filters": filters, "dead": len(each)}
        rows.append({**row, "removed": removed, "kept_because": dict(counts)})
    return pd.DataFrame(rows)
