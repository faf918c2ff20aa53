"""What a network costs: parameters, floating-point operations, time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from .layers import call


@dataclass(frozen=True)
class Cost:
    """Of one call of a network. Latency is the median in milliseconds, None if not measured."""

    parameters: int
    flops: int
    latency: float | None


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def flops(model: nn.Module, inputs: Any) -> Mapping[str, int]:
    """Floating-point operations of each module, by name ("" is the model), as torch counts them: 2 a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        call(model, inputs)
    root = type(model).__name__
    counted = {name: sum(by_kind.values()) for name, by_kind in counter.get_flop_counts().items()}
    inside = {name.removeprefix(f"{root}."): n for name, n in counted.items() if name.startswith(f"{root}.")}
    return {**inside, "": counted.get("Global", 0)}


def cost(model: nn.Module, inputs: Any, seconds: float) -> Cost:
    """Parameters, operations and latency of a call; the latency is measured for about `seconds`, 0 leaves it out.

    torch's timer runs it with as many threads as torch has now.
    """
    latency = None
    if seconds:
        with torch.inference_mode():
            names = {"call": call, "model": model, "inputs": inputs}
            timer = Timer("call(model, inputs)", globals=names, num_threads=torch.get_num_threads())
            latency = 1e3 * timer.blocked_autorange(min_run_time=seconds).median
    return Cost(parameters(model), flops(model, inputs)[""], latency)
