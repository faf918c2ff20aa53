"""Figure 3: a scalar with small random gradients under each optimizer and regularizer.

Optimizers and regularizers are those of the trainings (`optim`); there is no loss.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..files import write_text
from ..parts import SimulationFigure, SimulationPanel
from ..training.optim import decay, make_optimizer

SEED = 0
POINTS = 480  # the most points of a curve, besides the ends of the phases
QUANTILES = {"median": 0.5, "low": 0.05, "high": 0.95}  # over the repeats


def gradients(figure: SimulationFigure) -> Tensor:
    """The gradients (iterations, repeats), the same in every panel: noise with each phase's deviation."""
    deviations = np.concatenate([np.full(p["iterations"], p["deviation"]) for p in figure["phases"]])
    noise = np.random.default_rng(SEED).standard_normal((len(deviations), figure["repeats"]))
    return torch.from_numpy(deviations[:, None] * noise)


def kept(figure: SimulationFigure) -> list[int]:
    """The iterations of a curve's points: evenly spread, with the start and the end of every phase."""
    ends = list(itertools.accumulate(phase["iterations"] for phase in figure["phases"]))
    spread = np.linspace(0, ends[-1], POINTS).round().astype(int).tolist()
    return sorted({*spread, *ends})


def trajectories(panel: SimulationPanel, figure: SimulationFigure) -> Tensor:
    """The scalars (points, strengths, repeats) of a panel at the iterations `kept`."""
    noise, keep = gradients(figure), set(kept(figure))
    # In double precision: the weakest regularization changes the scalar by 1e-6 of itself in an iteration.
    strengths = torch.tensor(figure["strengths"], dtype=noise.dtype)[:, None]
    theta = torch.full((len(strengths), figure["repeats"]), float(figure["start"]), dtype=noise.dtype)
    # torch's own `weight_decay` takes one strength; here are many, so L2 is written out.
    l2 = strengths if panel["regularizer"] == "l2" else torch.zeros_like(strengths)
    arguments: dict[str, Any] = {"lr": panel["rate"], **panel["hyperparameters"]}
    optimizer = make_optimizer(panel["algorithm"], [theta], l2=0.0, **arguments)
    points = [theta.clone()]
    for iteration, gradient in enumerate(noise, start=1):
        theta.grad = gradient + l2 * theta  # never an expanded view: fused steps read past the end of one
        optimizer.step()
        if panel["regularizer"] == "wd":
            for scalars, strength in zip(theta, figure["strengths"], strict=True):
                decay([scalars], strength)
        if iteration in keep:
            points.append(theta.clone())
    return torch.stack(points)


def simulate(figure: SimulationFigure) -> pd.DataFrame:
    """All curves of a plan's simulation (Figure 3): a line per panel, regularizer, strength and iteration.

    `median`, `low` and `high` are the 50 %, 5 % and 95 % quantiles of the scalar over the repeats.
    """
    iterations = kept(figure)
    frames = []
    for panel in figure["panels"]:
        values = np.quantile(trajectories(panel, figure).numpy(), list(QUANTILES.values()), axis=2)
        for strength, curves in zip(figure["strengths"], values.transpose(2, 0, 1), strict=True):
            where = {"panel": panel["label"], "regularizer": panel["regularizer"], "strength": strength}
            columns = dict(zip(QUANTILES, curves, strict=True))
            frames.append(pd.DataFrame({**where, "iteration": iterations, **columns}))
    return pd.concat(frames, ignore_index=True)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the curves of `simulate` as CSV, whole or not at all."""
    write_text(path, frame.to_csv(index=False, float_format="%.7g", lineterminator="\n"))
