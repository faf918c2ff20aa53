"""What a network costs: parameters, floating-point operations, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from .layers import call

ROUNDS = 10  # of the latency's measurement


@dataclass(frozen=True)
class Cost:
    """Of one call of a network. Latency is that of the fastest call in milliseconds, None if not measured."""

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


def latencies(models: Sequence[nn.Module], inputs: Any, seconds: float) -> list[float]:
    """Milliseconds of a call of each model, with as many threads as torch has now, measured for `seconds` each.

    The models take turns, and the fastest call counts: all others say how busy the machine was, too.
    """
    threads = torch.get_num_threads()
    names = [{"call": call, "model": model, "inputs": inputs} for model in models]
    timers = [Timer("call(model, inputs)", globals=each, num_threads=threads) for each in names]
    with torch.inference_mode():
        rounds = [[t.blocked_autorange(min_run_time=seconds / ROUNDS) for t in timers] for _ in range(ROUNDS)]
    return [1e3 * min(min(turn.times) for turn in own) for own in zip(*rounds, strict=True)]


def costs(models: Sequence[nn.Module], inputs: Any, seconds: float) -> list[Cost]:
    """Parameters, operations and latency of a call of each model; `seconds` 0 leaves the latency out."""
    times = latencies(models, inputs, seconds) if seconds else [None] * len(models)
    return [Cost(parameters(m), flops(m, inputs)[""], t) for m, t in zip(models, times, strict=True)]
