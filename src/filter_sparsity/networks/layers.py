"""The layers of any network: convolutions followed by BatchNorm, and where their features can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from ..errors import UserError

# Names of torch's functions, without the underscore of those that work in place.
ACTIVATIONS = {
    *("celu", "clamp", "clamp_min", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid"),
    *(
        "mish",
        "prelu",
        "relu",
        "relu6",
        "rrelu",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "tanh",
        "threshold",
    ),
}
# What may stand between BatchNorm and the nonlinearity, which rises: a spatial maximum is the same before and after.
BETWEEN = {"adaptive_max_pool2d", "contiguous", "dropout", "dropout2d", "max_pool1d", "max_pool2d", "max_pool3d"}


@dataclass(frozen=True)
class Layer:
    """A convolution and the BatchNorm that follows it, by their names in the model."""

    name: str
    norm: str
    activated: bool  # whether a nonlinearity follows; a block's last BatchNorm may end in a sum instead


def call(model: nn.Module, inputs: Any) -> Any:
    """The model's output. `inputs` is a tensor, a sequence of positional arguments or a mapping of named ones."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, Sequence) else model(inputs)


def shapes(inputs: Any) -> str:
    """The inputs' shapes, as they are named in messages."""
    return ", ".join(str(tuple(t.shape)) for t in tensors(inputs)) or repr(inputs)


def tensors(values: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and mappings, in order."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from tensors(value)
    elif isinstance(values, Sequence) and not isinstance(values, str):
        for value in values:
            yield from tensors(value)


def require_ready(model: nn.Module) -> None:
    """Raise UserError if the model is compiled, wrapped or in training mode, or if a BatchNorm cannot be used."""
    if isinstance(model, torch._dynamo.eval_frame.OptimizedModule):
        raise UserError("the model is compiled: give the one that was compiled, model._orig_mod")
    if isinstance(model, torch.jit.ScriptModule):
        raise UserError("the model is a TorchScript module: give the nn.Module that it was made of")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise UserError("the model is wrapped for several devices: give the one inside, model.module")
    for name, module in model.named_modules():
        if module.training:
            raise UserError(f"the model is in training mode ({name or 'the model itself'}): call model.eval() first")
    for name, module in model.named_modules():
        if {"weight", "bias", "running_mean", "running_var"} <= module._buffers.keys():
            raise UserError(
                f"{name} is a {type(module).__name__}, whose gamma is no parameter: replace it by torch.nn.BatchNorm2d,"
                ' as docs/own_networks.md shows under "Frozen BatchNorm"'
            )
        if isinstance(module, _BatchNorm):
            for part in ("weight", "bias", "running_mean", "running_var"):
                value = getattr(module, part)
                if value is not None and not value.isfinite().all():
                    raise UserError(f"{name}.{part} has values that are not finite: the training diverged")


class _Watch(TorchFunctionMode):
    """Follow outputs of BatchNorm to the nonlinearity; report (norm, tensor, whether activated)."""

    def __init__(self, report: Callable[[str, Tensor, bool], None]) -> None:
        super().__init__()
        self.report = report

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Before the call: one in place returns the tensor that it was given.
        norm = getattr(args[0], "_norm", None) if args and isinstance(args[0], Tensor) else None
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").rstrip("_")
        if norm is not None and name in ACTIVATIONS:
            self.report(norm, result, True)
        elif norm is not None and name in BETWEEN:
            result._norm = norm
        return result


@contextmanager
def watched(
    model: nn.Module, paired: Callable[[str, str], None], report: Callable[[str, Tensor, bool], None]
) -> Iterator[None]:
    """Within the block, follow the model's calls by the tensors that its modules hand on.

    `paired(convolution, norm)` is called where a BatchNorm is given what a convolution returned, and
    `report(norm, tensor, activated)` with what this BatchNorm returns, and again if a nonlinearity follows. No graph is
    needed: forwards that cannot be traced symbolically, and shared modules, work, too. Tensors are not kept.
    """

    def of_conv(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            output._conv = name  # type: ignore[attr-defined]

        return hook

    def of_norm(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            conv = getattr(inputs[0], "_conv", None)
            if conv is not None:
                paired(conv, name)
                output._norm = name  # type: ignore[attr-defined]
                report(name, output, False)

        return hook

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, _ConvNd):
            hooks.append(module.register_forward_hook(of_conv(name)))
        elif isinstance(module, _BatchNorm) and module.affine:
            hooks.append(module.register_forward_hook(of_norm(name)))
    try:
        with _Watch(report):
            yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def find_layers(model: nn.Module, inputs: Any) -> list[Layer]:
    """The model's convolutions that a BatchNorm follows, in the order of their calls, each once.

    Raises UserError if the model has none, or cannot compute `inputs`.
    """
    pairs: dict[tuple[str, str], None] = {}
    activated: set[str] = set()

    def report(norm: str, tensor: Tensor, after: bool) -> None:
        if after:
            activated.add(norm)

    with watched(model, lambda conv, norm: pairs.setdefault((conv, norm)), report):
        try:
            call(model, inputs)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"the model cannot compute an input of shape {shapes(inputs)}: {said}") from None
    if not pairs:
        raise UserError(
            f"{type(model).__name__} has no convolution that a BatchNorm with a scale follows: nothing to measure"
        )
    return [Layer(conv, norm, norm in activated) for conv, norm in pairs]
