"""Figure 3: a scalar with small random gradients under each optimizer and regularizer.

Optimizers and regularizers are those of the trainings (`optim`); there is no loss.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
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


def gradients(figure: SimulationFigure, iterations: int | None = None) -> Tensor:
    """The gradients (iterations, repeats), the same in every panel: noise with each phase's deviation.

    With a number of iterations of its own, the last phase goes on until then.
    """
    deviations = np.concatenate([np.full(p["iterations"], p["deviation"]) for p in figure["phases"]])
    more = max(0, (iterations or 0) - len(deviations))
    deviations = np.concatenate([deviations, np.full(more, deviations[-1])])
    noise = np.random.default_rng(SEED).standard_normal((len(deviations), figure["repeats"]))
    return torch.from_numpy(deviations[:, None] * noise)


def kept(figure: SimulationFigure) -> list[int]:
    """The iterations of a curve's points: evenly spread, with the start and the end of every phase."""
    ends = list(itertools.accumulate(phase["iterations"] for phase in figure["phases"]))
    spread = np.linspace(0, ends[-1], POINTS).round().astype(int).tolist()
    return sorted({*spread, *ends})


def steps(panel: SimulationPanel, figure: SimulationFigure, noise: Tensor) -> Iterator[Tensor]:
    """The scalars (strengths, repeats) of a panel after each iteration of the noise: one tensor, changed in place."""
    # In double precision: the weakest regularization changes the scalar by 1e-6 of itself in an iteration.
    strengths = torch.tensor(figure["strengths"], dtype=noise.dtype)[:, None]
    theta = torch.full((len(strengths), figure["repeats"]), float(figure["start"]), dtype=noise.dtype)
    # torch's own `weight_decay` takes one strength; here are many, so L2 is written out.
    l2 = strengths if panel["regularizer"] == "l2" else torch.zeros_like(strengths)
    arguments: dict[str, Any] = {"lr": panel["rate"], **panel["hyperparameters"]}
    optimizer = make_optimizer(panel["algorithm"], [theta], l2=0.0, **arguments)
    for gradient in noise:
        theta.grad = gradient + l2 * theta  # never an expanded view: fused steps read past the end of one
        optimizer.step()
        if panel["regularizer"] == "wd":
            for scalars, strength in zip(theta, figure["strengths"], strict=True):
                decay([scalars], strength)
        yield theta


def trajectories(panel: SimulationPanel, figure: SimulationFigure) -> Tensor:
    """The scalars (points, strengths, repeats) of a panel at the iterations `kept`."""
    keep = set(kept(figure))
    start = torch.full((len(figure["strengths"]), figure["repeats"]), float(figure["start"]), dtype=torch.double)
    states = enumerate(steps(panel, figure, gradients(figure)), start=1)
    return torch.stack([start, *(theta.clone() for iteration, theta in states if iteration in keep)])


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


def half_lives(figure: SimulationFigure) -> pd.DataFrame:
    """How many iterations each panel's scalar takes to fall below half its start: a line per panel and strength.

    The figure's last phase goes on for `half_life_iterations`. `median`, `low` and `high` are over the repeats, each
    the half-life of one of them. One that is not over at the end is infinite; then `low` is the end.
    """
    noise = gradients(figure, figure["half_life_iterations"])
    lines = []
    for panel in [*figure["panels"], *figure["half_life_panels"]]:
        found = torch.full((len(figure["strengths"]), figure["repeats"]), math.inf, dtype=torch.double)
        for iteration, theta in enumerate(steps(panel, figure, noise), start=1):
            found[(theta < figure["start"] / 2) & found.isinf()] = iteration
            if iteration % 100 == 0 and not found.isinf().any():
                break
        # No mean of two repeats: between a number and infinity there is none.
        quantiles = np.quantile(found.numpy(), list(QUANTILES.values()), axis=1, method="inverted_cdf").T
        for strength, values in zip(figure["strengths"], quantiles, strict=True):
            line = dict(zip(QUANTILES, values, strict=True))
            line["low"] = min(line["low"], len(noise))
            where = {"panel": panel["label"], "regularizer": panel["regularizer"], "strength": strength}
            lines.append({**where, **line})
    return pd.DataFrame(lines)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame of `simulate` or `half_lives` as CSV, whole or not at all."""
    write_text(path, frame.to_csv(index=False, float_format="%.7g", lineterminator="\n"))
