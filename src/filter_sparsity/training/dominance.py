"""How often L2 outweighs the loss, feature by feature: what the paper holds responsible for the loss of filters."""

from __future__ import annotations

import torch
from torch import Tensor

from ..spec import Spec
from .models import ConvNet


class Dominance:
    """The steps in which |d loss / d gamma| < lambda |gamma|, counted for every feature while it is trained.

    Section 2 of the supplement: selective features spend more iterations in a low gradient regime, where L2 acts more.
    `steps` (features of all layers, C1 first) stays on the device and in its place, so that a captured graph counts,
    too.
    """

    def __init__(self, spec: Spec, model: ConvNet) -> None:
        self.layers, self.filters, self.strength = spec.network.layers, spec.network.filters, spec.strength
        self.gammas = [norm.weight for norm in model.norms]
        self.steps = torch.zeros(sum(self.filters), dtype=torch.int32, device=self.gammas[0].device)

    @torch.no_grad()
    def count(self) -> None:
        """Count this step. After the backward pass and before the update, which adds L2 to the gradient."""
        # A gamma that the loss does not reach has no gradient: L2 alone moves it.
        gradients = [torch.zeros_like(gamma) if gamma.grad is None else gamma.grad for gamma in self.gammas]
        # Both in one tensor: on a GPU each operation is a kernel.
        losses, gammas = torch.cat([*gradients, *self.gammas]).abs_().view(2, -1)
        self.steps += losses < gammas.mul_(self.strength)

    def shares(self, steps: int) -> dict[str, Tensor]:
        """Of `steps` steps the share in which L2 dominated: `l2_dominates_C1`, ... (filters,) on the CPU."""
        parts = (self.steps.cpu().double() / steps).float().split(self.filters)
        return {f"l2_dominates_{layer}": part.clone() for layer, part in zip(self.layers, parts, strict=True)}


def dominance(spec: Spec, model: ConvNet) -> Dominance | None:
    """A count for a network that is about to be trained; None where no L2 acts on its gammas."""
    acts = spec.regularizer == "l2" and spec.strength > 0 and spec.unregularized != "norms"
    return Dominance(spec, model) if acts else None
