"""Removing the dead filters of any network, with Torch-Pruning's dependency graph."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from .. import metrics
from ..errors import UserError
from .constants import constant_inputs, replicated_borders
from .cost import Cost, cost
from .layers import Layer, call, find_layers, require_ready, tensors

NEGLIGIBLE = 1e-6  # a constant of at most this size is folded across zero padding, too
SUBNORMAL = 1e-19  # products of two float32 values of at least this size are normal numbers
OUTPUT = "part of the output"
UNKNOWN = "in a layer or parameter that filters cannot be taken from"
VARIES = "varies: another branch lives"
BORDER = "constant, but not at the border of a padded convolution"
TRANSPOSED = "constant, before a transposed convolution"
GROUPED = "in a grouped convolution that would lose unequally"
LAST = "last filter of its layer"
GRAPH = "the dependency graph does not remove it rightly"
_PRUNABLE = (_ConvNd, nn.Linear, _BatchNorm, nn.PReLU)


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
        for name, unit in (("parameters", ""), ("flops", ""), ("latency", " ms")):
            before, after = getattr(self.before, name), getattr(self.after, name)
            if before is not None:
                form = ",.2f" if unit else ",d"
                lines.append(f"{name}: {before:{form}} -> {after:{form}}{unit}")
        lines.append(
            f"outputs differ from the masked network's by {self.difference:.1e}, from the original's by"
            f" {self.from_original:.1e}"
        )
        return "\n".join(lines)


@dataclass
class _Group:
    """Channels (root indices 0..n-1) that can only be removed together, in every module that has them."""

    size: int
    cuts: list[tuple[nn.Module, Callable[..., Any], bool, Tensor, Tensor]]  # module, pruner, input, indices, roots
    blocked: str = ""  # why none can be removed
    removed: set[int] = field(default_factory=set)
    kept: dict[int, str] = field(default_factory=dict)  # dead ones, and why


def shrink(
    model: nn.Module,
    example_inputs: Any,
    criterion: str | Mapping[str, Any] = "gamma",
    threshold: float = metrics.GAMMA_THRESHOLD,
    border: str = "keep",
    tolerance: float = 1e-4,
    latency_seconds: float = 0.5,
) -> tuple[nn.Module, Report]:
    """A smaller copy of the network without its dead filters, and a report. The model itself is not changed.

    A dead feature counts as the constant that it is with gamma 0: activation(beta). Constants are folded into what
    follows, a BatchNorm's running mean or a bias. That is exact, but not at the border of a convolution that pads with
    zeros. `border` says what becomes of such features: "keep" keeps them, "fold" removes them, and the difference that
    it makes is in the report. Constants up to 1e-6 are always folded. Features that stay have gamma 0. Parameters
    below 1e-19 become 0: they would make slow subnormal numbers.

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
    layers = find_layers(model, example_inputs)
    masked = copy.deepcopy(model)
    groups = _groups(masked, example_inputs)
    dead = _dead(masked, groups, criterion, threshold)
    with torch.no_grad():
        for norm, gone in dead.items():
            masked.get_parameter(f"{norm}.weight")[gone] = 0.0
    constants = _choose(masked, groups, example_inputs, dead, border == "fold")
    probes = [example_inputs, _noise_like(example_inputs)]
    fold = border == "fold"

    def agrees(small: nn.Module) -> bool:
        """With folded constants the two differ at zero-padded borders alone: so they are compared with others."""
        with ExitStack() as stack:
            for network in (masked, small) if fold else ():
                stack.enter_context(replicated_borders(network))
            return _largest_difference(small, masked, probes) <= tolerance

    small = _without(masked, groups, constants, layers)
    if not agrees(small):
        for group in groups:  # find those that the graph gets wrong, each alone
            if group.removed and not agrees(_without(masked, [group], constants, layers)):
                group.kept.update(dict.fromkeys(group.removed, GRAPH))
                group.removed.clear()
        small = _without(masked, groups, constants, layers)
        if not agrees(small):
            raise UserError(
                f"the shrunk network's outputs differ from the masked network's by more than {tolerance:g} of the"
                " largest: nothing was changed"
            )
    difference = _largest_difference(small, masked, probes)
    from_original = _largest_difference(small, model, probes)
    costs = [cost(each, example_inputs, latency_seconds) for each in (model, small)]
    return small, Report(costs[0], costs[1], _table(masked, groups, dead, layers), difference, from_original)


def _groups(model: nn.Module, inputs: Any) -> list[_Group]:
    """The groups of channels that the dependency graph has for the model's convolutions."""
    from torch_pruning import DependencyGraph, ops

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
    finally:
        for name, p in model.named_parameters():
            p.requires_grad_(wanted[name])
    groups = []
    known = set(model.modules())
    for found in graph.get_all_groups(root_module_types=(ops.TORCH_CONV,)):
        group = _Group(len(found[0].idxs), [])
        for item in found:
            module, handler = item.dep.target.module, item.dep.handler
            if isinstance(module, ops._OutputOp):
                group.blocked = group.blocked or OUTPUT
            elif isinstance(module, nn.Parameter) or (module in known and not isinstance(module, _PRUNABLE)):
                group.blocked = group.blocked or UNKNOWN
            elif module in known and not (isinstance(module, nn.PReLU) and module.num_parameters == 1):
                depthwise = isinstance(module, _BatchNorm | nn.PReLU) or _is_depthwise(module)
                is_input = not depthwise and graph.is_in_channel_pruning_fn(handler)
                roots = torch.tensor(item.root_idxs)
                group.cuts.append((module, handler, is_input, torch.tensor(item.idxs), roots))
        groups.append(group)
    return groups


def _is_depthwise(module: nn.Module) -> bool:
    return (
        isinstance(module, _ConvNd) and module.groups > 1 and module.groups == module.out_channels == module.in_channels
    )


def _dead(
    model: nn.Module, groups: Sequence[_Group], criterion: str | Mapping[str, Any], threshold: float
) -> dict[str, Tensor]:
    """Which features (F,) of each BatchNorm in the groups are dead. The order is that of the model."""
    inside = {module for group in groups for module, *_ in group.cuts if isinstance(module, _BatchNorm)}
    norms: dict[str, Any] = {n: m for n, m in model.named_modules() if m in inside and m.affine}
    if isinstance(criterion, str):
        if criterion != "gamma":
            raise UserError(f'there is no criterion {criterion!r}: give "gamma", or measure(...).dead("activation")')
        return {name: norm.weight.detach().abs() < threshold for name, norm in norms.items()}
    dead = {}
    for name, given in criterion.items():
        gone = torch.tensor(given).bool()
        if name not in dict(model.named_modules()):
            raise UserError(f"the criterion names {name}, which the model does not have")
        if name in norms:
            if gone.shape != norms[name].weight.shape:
                raise UserError(
                    f"the criterion has {len(gone)} features of {name}, which has {norms[name].num_features}"
                )
            dead[name] = gone.to(norms[name].weight.device)
    return dead


def _choose(
    masked: nn.Module, groups: Sequence[_Group], inputs: Any, dead: Mapping[str, Tensor], fold: bool
) -> Mapping[str, Tensor]:
    """Decide for every group which channels go, and why dead ones stay. Returns the constants of layers' inputs."""
    names = {module: name for name, module in masked.named_modules()}
    inside = constant_inputs(masked, inputs, replicate=True)
    exact = constant_inputs(masked, inputs, replicate=False)
    for group in groups:
        candidates: set[int] = set()
        for module, _, _, indices, roots in group.cuts:
            gone = dead.get(names[module])
            if gone is not None:
                candidates |= set(roots[gone.cpu()[indices]].tolist())
        for root in candidates if group.blocked else ():
            group.kept[root] = group.blocked
        if group.blocked:
            continue
        reasons: dict[int, str] = {}
        for module, _, is_input, indices, roots in group.cuts:
            if not is_input:
                continue
            c, e = inside[names[module]].cpu()[indices], exact[names[module]].cpu()[indices]
            padded = _pads_with_zeros(module)
            transposed = isinstance(module, _ConvTransposeNd)
            for root, inner, whole in zip(roots.tolist(), c.tolist(), e.tolist(), strict=True):
                if inner != inner:
                    reasons[root] = VARIES
                elif abs(inner) > NEGLIGIBLE and transposed:
                    reasons.setdefault(root, TRANSPOSED)
                elif abs(inner) > NEGLIGIBLE and not fold and (padded or whole != whole):
                    reasons.setdefault(root, BORDER)
        free = {root for root in candidates if root not in reasons}
        equal = _equal_in_groups(group, free)
        reasons.update(dict.fromkeys(free - equal, GROUPED))
        if len(equal) == group.size:
            # In a grouped convolution one of each group stays: the places that `_equal_in_groups` takes together.
            stay = _equal_in_groups(group, {0}, grow=True)
            equal -= stay
            reasons.update(dict.fromkeys(stay, LAST))
        group.removed = equal
        group.kept = {root: reasons[root] for root in candidates - equal}
    return inside


def _pads_with_zeros(module: Any) -> bool:
    if not isinstance(module, _ConvNd) or module.padding_mode != "zeros":
        return False
    return module.padding == "same" or (module.padding != "valid" and any(module.padding))


def _equal_in_groups(group: _Group, roots: set[int], grow: bool = False) -> set[int]:
    """The channels that every grouped convolution of the group loses at the same places of all its groups.

    With `grow`, the given ones and those that must go with them.
    """
    grouped = [
        (indices.tolist(), root.tolist(), module.groups, (module.in_channels if is_input else module.out_channels))
        for module, _, is_input, indices, root in group.cuts
        if isinstance(module, _ConvNd) and module.groups > 1 and not _is_depthwise(module)
    ]
    chosen = set(roots)
    while True:
        size = len(chosen)
        for indices, root, groups, channels in grouped:
            places = defaultdict(list)
            for index, r in zip(indices, root, strict=True):
                places[index % (channels // groups)].append(r)
            for together in places.values():
                if grow and chosen.intersection(together):
                    chosen.update(together)
                elif not grow and not chosen.issuperset(together):
                    chosen.difference_update(together)
        if len(chosen) == size:
            return chosen


@torch.no_grad()
def _without(
    masked: nn.Module, groups: Sequence[_Group], constants: Mapping[str, Tensor], layers: Sequence[Layer]
) -> nn.Module:
    """A copy of the masked network without the removed channels of the groups, their constants folded."""
    small = copy.deepcopy(masked)
    twins = dict(zip(masked.modules(), small.modules(), strict=True))
    names = {module: name for name, module in masked.named_modules()}
    norms: dict[str, list[str]] = defaultdict(list)
    for layer in layers:
        norms[layer.name].append(layer.norm)
    once = Counter(norm for each in norms.values() for norm in each)
    cuts: dict[tuple[nn.Module, Any, bool], set[int]] = defaultdict(set)
    for group in groups:
        for module, handler, is_input, indices, roots in group.cuts:
            gone = {i for i, root in zip(indices.tolist(), roots.tolist(), strict=True) if root in group.removed}
            if gone:
                cuts[module, handler, is_input] |= gone
    for (module, _, is_input), gone in cuts.items():
        if is_input:
            following = [n for n in norms[names[module]] if once[n] == 1]
            alone = len(norms[names[module]]) == 1
            norm = small.get_submodule(following[0]) if alone and following else None
            _fold(twins[module], norm, constants[names[module]], sorted(gone))
    wanted = {name: p.requires_grad for name, p in small.named_parameters()}
    for (module, handler, _), gone in cuts.items():
        handler(twins[module], sorted(gone))
    for name, p in small.named_parameters():
        p.requires_grad_(wanted.get(name, True))
    for value in itertools.chain(small.parameters(), small.buffers()):
        if value.is_floating_point():
            value[value.abs() < SUBNORMAL] = 0.0
    return small


def _fold(module: Any, norm: Any, constants: Tensor, gone: Sequence[int]) -> None:
    """Keep what the removed inputs of a layer gave it: in the running mean of its BatchNorm, or in its bias."""
    c = torch.zeros_like(constants)
    c[gone] = constants[gone]
    if not c.any():
        return
    weight = module.weight
    if isinstance(module, _ConvTransposeNd):  # its constants are negligible
        return
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


def _noise_like(inputs: Any) -> Any:
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


def _difference(outputs: Any, truth: Any) -> float:
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
def _largest_difference(ours: nn.Module, theirs: nn.Module, probes: Sequence[Any]) -> float:
    """The largest `_difference` on the probes; infinity if our network cannot compute one."""
    try:
        return max(_difference(call(ours, probe), call(theirs, probe)) for probe in probes)
    except (RuntimeError, ValueError, IndexError):
        return float("inf")


def _table(
    masked: nn.Module, groups: Sequence[_Group], dead: Mapping[str, Tensor], layers: Sequence[Layer]
) -> pd.DataFrame:
    """A row for every BatchNorm: its dead features, and what became of them."""
    names = {module: name for name, module in masked.named_modules()}
    layer_of = {layer.norm: layer.name for layer in layers}
    removed: Counter[str] = Counter()
    kept: dict[str, Counter[str]] = defaultdict(Counter)
    for group in groups:
        for module, _, _, indices, roots in group.cuts:
            gone = dead.get(names[module])
            if gone is None:
                continue
            for i, root in zip(indices.tolist(), roots.tolist(), strict=True):
                if root in group.removed:
                    removed[names[module]] += int(gone[i])
                elif gone[i]:
                    kept[names[module]][group.kept[root]] += 1
    rows = [
        {
            "layer": layer_of.get(norm, ""),
            "norm": norm,
            "filters": len(gone),
            "dead": int(gone.sum()),
            "removed": removed[norm],
            "kept_because": dict(kept[norm]),
        }
        for norm, gone in dead.items()
    ]
    return pd.DataFrame(rows)
