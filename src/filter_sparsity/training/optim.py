"""Optimizers with L2 or weight decay, which are different things (Sections 1 and 2 of the supplement).

L2 adds lambda * theta to the gradient before the optimizer sees it: torch's own `weight_decay` argument.
Weight decay multiplies theta by 1 - lambda_t after the update; lambda_t follows the schedule's factor, not the base
rate. Decoupled decay is torch's own, of AdamW and others: theta times 1 - rate * lambda before the update. All act on
every parameter, gammas and betas included, but on those that the spec names as `unregularized`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import signature, unwrap
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import UserError
from ..spec import Spec
from .models import ConvNet

# torch's optimizers import its compiler when they are made, cleared and stepped, only to exempt themselves from it:
# over a second, as long as torch itself takes, in every job. Nothing is compiled here, so the functions within are
# called as they are.
for _function in (torch.optim.Optimizer.add_param_group, torch.optim.Optimizer.zero_grad):
    _inner = getattr(_function, "__wrapped__", None)
    if _inner is not None and not hasattr(_inner, "__dynamo_disable"):
        setattr(_inner, "__dynamo_disable", _inner)

# Of these, torch has updates of one kernel.
_FUSED = {"cpu": ("SGD", "Adam", "AdamW", "Adagrad"), "cuda": ("SGD", "Adam", "AdamW")}
# These need no count of their steps (Adagrad: as long as its lr_decay is 0), so a CUDA graph can hold them.
_UNCOUNTED = ("SGD", "Adagrad")
# What these call `weight_decay` shrinks the weights beside the update; it is not L2.
_DECOUPLED = ("AdamW", "Adafactor", "Muon")


def make_optimizer(
    algorithm: str, groups: list[Any], l2: float, device: str = "cpu", decoupled: float = 0.0, **arguments: Any
) -> torch.optim.Optimizer:
    """An optimizer of torch.optim by its class name, for parameters on a kind of device.

    It has L2 of strength `l2`, or torch's own weight decay of strength `decoupled`. Raises UserError for an optimizer
    that torch does not have, for arguments that it does not take, for L2 of one whose `weight_decay` is decoupled from
    the gradient, for decoupled decay of one that has none, and on a GPU for one that a CUDA graph cannot hold.
    """
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    if algorithm in _FUSED[device]:
        arguments["fused"] = True
    kind = getattr(torch.optim, algorithm, None)
    if kind is None:
        raise UserError(f"torch.optim has no {algorithm!r}: name one of its classes as the optimizer's `algorithm`")
    if device == "cuda" and "capturable" in signature(kind).parameters:
        arguments["capturable"] = True  # it counts its steps on the GPU, as a captured graph must
    elif device == "cuda" and (algorithm not in _UNCOUNTED or arguments.get("lr_decay")):
        what = f"{algorithm} with lr_decay" if algorithm in _UNCOUNTED else algorithm
        raise UserError(
            f"torch.optim.{what} counts its steps on the CPU, where a CUDA graph would not see the count: "
            "set `device: cpu`, or take another optimizer"
        )
    if decoupled and "decoupled_weight_decay" in signature(kind).parameters:
        arguments["decoupled_weight_decay"] = True
    elif decoupled and algorithm not in _DECOUPLED:
        raise UserError(
            f"torch.optim.{algorithm} has no weight decay of its own apart from the gradient: "
            "write `l2` or `wd` in place of `decoupled`, or take another optimizer"
        )
    try:
        optimizer = kind(groups, weight_decay=l2 or decoupled, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"torch.optim.{algorithm} refuses what the spec says of it: {error}") from None
    if l2 and (algorithm in _DECOUPLED or optimizer.defaults.get("decoupled_weight_decay")):
        raise UserError(
            f"torch.optim.{algorithm} as set here decays weights apart from the gradient, which is not L2: "
            "write `decoupled` or `wd` in place of `l2`, or take an optimizer that adds L2 to the gradient"
        )
    optimizer.step = torch.no_grad()(partial(unwrap(type(optimizer).step), optimizer))
    return optimizer


class Group(NamedTuple):
    """Parameters that are updated alike."""

    parameters: Sequence[Tensor]
    rate_scale: float  # learning rate, relative to the spec's
    regularized: bool


def param_groups(spec: Spec, model: ConvNet) -> list[Group]:
    """A network's parameters: gammas and betas apart from the rest, and what the spec does not regularize, too.

    Neighbours that are updated alike are one group: fewer kernels on a GPU.
    """
    gammas = [norm.weight for norm in model.norms]
    betas = [norm.bias for norm in model.norms]
    norms = {id(p) for p in (*gammas, *betas)}
    head = {id(p) for layer in (*model.head, *model.head_norms) for p in layer.parameters()}
    free = {"nothing": set[int](), "head": head, "norms": norms}[spec.unregularized]
    rest = [p for p in model.parameters() if id(p) not in norms]
    parts = [
        Group(part, scale, regularized)
        for parameters, scale in ((rest, 1.0), (gammas, spec.gamma_rate_scale), (betas, spec.beta_rate_scale))
        for regularized in (True, False)
        if (part := [p for p in parameters if (id(p) not in free) is regularized])
    ]
    # Only neighbours: checkpoints number the parameters in this order.
    alike = groupby(parts, key=lambda group: group[1:])
    return [Group([p for part in same for p in part.parameters], *key) for key, same in alike]


class Update:
    """The update rule of a spec: optimizer, schedule, and weight decay after the optimizer's step.

    Raises UserError as `make_optimizer` does.
    """

    def __init__(self, spec: Spec, groups: Sequence[Group]) -> None:
        self.spec, self.groups = spec, groups
        self.parameters = [p for group in groups for p in group.parameters]
        self.optimizer = make_optimizer(
            spec.algorithm,
            [{"params": g.parameters, **({} if g.regularized else {"weight_decay": 0.0})} for g in groups],
            l2=spec.strength if spec.regularizer == "l2" else 0.0,
            decoupled=spec.strength if spec.regularizer == "decoupled" else 0.0,
            device=self.parameters[0].device.type,
            lr=spec.rate,
            **spec.hyperparameters,
        )
        self.start_phase(0)

    def start_phase(self, phase: int) -> None:
        """Learning rates of phase `phase` (from 0) of the schedule: each is `rate_decay` times the one before."""
        self.factor = self.spec.rate_decay**phase
        for own, group in zip(self.optimizer.param_groups, self.groups, strict=True):
            own["lr"] = self.spec.rate * group.rate_scale * self.factor

    def step(self) -> None:
        """Update every parameter from its gradient."""
        self.optimizer.step()
        if self.spec.regularizer == "wd":
            for group in self.groups:
                if group.regularized:
                    decay(group.parameters, self.spec.strength * self.factor)

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()

    def state(self) -> dict[str, Tensor]:
        """The optimizer's own averages and counts: those of parameter i (in the groups' order) are `i.<their name>`."""
        numbered = enumerate(self.parameters)
        return {f"{i}.{name}": v for i, p in numbered for name, v in self.optimizer.state[p].items() if v is not None}

    def restore(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`. Averages get their parameter's memory layout, which fused updates rely on."""
        for key, value in state.items():
            number, name = key.split(".")
            parameter = self.parameters[int(number)]
            if value.shape == parameter.shape:
                value = torch.empty_like(parameter).copy_(value)
            elif self.optimizer.defaults.get("capturable"):  # counts are on the device only there
                value = value.to(parameter.device)
            self.optimizer.state[parameter][name] = value


@torch.no_grad()
def decay(parameters: Sequence[Tensor], strength: float | Tensor) -> None:
    """Weight decay: theta <- (1 - strength) * theta, all at once on a GPU."""
    kept = 1 - strength
    if isinstance(kept, Tensor):
        torch._foreach_mul_([*parameters], [kept] * len(parameters))
    else:
        torch._foreach_mul_([*parameters], kept)


def decay_floor(spec: Spec) -> float:
    """What is left of |gamma| at the end of a training in which it gets no gradient but its regularizer's.

    Only decay that gets below the threshold of 1e-3 here can make a filter count as pruned in so many steps.
    """
    gamma = torch.nn.Parameter(torch.tensor([spec.gamma_init]))
    gamma.grad = torch.zeros_like(gamma)
    update = Update(spec, [Group([gamma], spec.gamma_rate_scale, spec.unregularized != "norms")])
    for phase, steps in enumerate(spec.phase_steps):
        update.start_phase(phase)
        for _ in range(steps):
            update.step()
    return float(gamma.detach().abs())
