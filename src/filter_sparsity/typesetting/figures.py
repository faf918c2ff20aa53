"""Figures 1 to 4, from what runs and the simulation wrote, and from prepared datasets. Torch-free."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from ..errors import UserError
from ..letters import escape_mathtext
from ..metrics import ACTIVATION_THRESHOLD
from ..parts import CurveFigure, SimulationFigure, SimulationPanel
from ..paths import run_folder
from ..plan import Plan
from ..records import record
from ..spec import Spec
from ..verdict.labels import NAMES
from .gallery import draw_gallery
from .style import COLORS, LINE, NOTE, OTHER, STRENGTHS, canvas, save

PALEST = 2  # of it are too faint for a line on white
LIGHT = "0.75"  # lines at 0
PHASE: dict[str, Any] = {"color": "0.6", "linewidth": 0.6, "linestyle": (0, (4, 2))}  # where a phase ends
PAPER: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}  # behind a label
REGULARIZERS = {"l2": "L2", "wd": "weight decay", "decoupled": "decoupled decay", "none": "no regularization"}
QUANTILES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)  # of a fan
BINS = 20  # of a histogram of universality
DEAD = (-0.3, -0.16)  # where its bar of dead features stands


def power(value: float) -> str:
    """A number for mathtext: 0.0005 is 5 x 10^-4."""
    mantissa, exponent = f"{value:.2e}".split("e")
    times = "" if float(mantissa) == 1 else rf"{float(mantissa):g} \times "
    return f"{times}10^{{{int(exponent)}}}" if value else "0"


def _strength(value: float) -> str:
    return rf"$\lambda = {power(value)}$"


def _graded(values: Sequence[float]) -> dict[float, Any]:
    """A line's colour for each value, the greatest darkest."""
    return dict(zip(values, sns.color_palette(STRENGTHS, len(values) + PALEST)[PALEST:], strict=True))


def plot(
    plan: Plan, name: str, runs: Path, simulation: Path | None, out: Sequence[Path], prepared: Path | None = None
) -> None:
    """Draw a figure of the plan, as `draw` does, into each of `out` (.pdf, .png)."""
    save(lambda: draw(plan, name, runs, simulation, prepared), out)


def draw(plan: Plan, name: str, runs: Path, simulation: Path | None, prepared: Path | None = None) -> Figure:
    """A figure of the plan from the runs, the simulation's CSV, or the folder `prepared` of datasets.

    Raises UserError if it is unknown or data are missing.
    """
    figure = plan.figure(name)
    if figure["kind"] == "simulation":
        if simulation is None:
            raise UserError(f"{name} is drawn from a simulation: give it with --simulation")
        return _simulation(figure, simulation)
    if figure["kind"] == "gallery":
        if prepared is None:
            raise UserError(f"{name} is drawn from prepared datasets: give their folder with --data")
        return draw_gallery(plan, figure, prepared)
    drawing = {"affine": _affine, "universality": _universality}[figure["kind"]](plan, figure, runs)
    if not plan.is_paper_scale:
        note = f"scale {plan.scale}: not the paper's setting"
        drawing.text(0.995, 0.002, note, ha="right", va="bottom", fontsize=6.5, color=NOTE)
    return drawing


# Figure 1


def _affine(plan: Plan, figure: CurveFigure, runs: Path) -> Figure:
    """Gammas and betas of some layers as training goes on: a row for each, a column for each curve."""
    specs = [plan.specs[curve["spec_id"]] for curve in figure["curves"]]
    rows = [(layer, kind) for layer in figure["layers"] for kind in ("gamma", "beta")]
    drawing, axes = canvas(0.5 + 1.3 * len(rows), len(rows), len(specs), sharex="col", sharey="row")
    for column, (spec, curve) in enumerate(zip(specs, figure["curves"], strict=True)):
        affine = _pooled(spec, plan.seeds_of(spec.id), runs)
        for ax, (layer, kind) in zip(axes[:, column], rows, strict=True):
            _fan(ax, affine["step"], affine[f"{kind}_{layer}"], COLORS.get(spec.optimizer, OTHER))
            for drop in itertools.accumulate(spec.phase_steps[:-1]):
                ax.axvline(drop, **PHASE, zorder=0)
            ax.set_xlim(0, spec.steps)
        axes[0, column].set_title(f"{escape_mathtext(curve['label'])}\n{_strength(spec.strength)}")
    for ax, (layer, kind) in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(rf"{layer}: {'scale' if kind == 'gamma' else 'bias'} $\{kind}$")
    for ax in axes.flat:
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.yaxis.set_major_locator(MaxNLocator(5))
    drawing.align_ylabels(axes[:, 0])
    handles = [
        Line2D([], [], color=OTHER, linewidth=1.2, label="median feature"),
        Patch(facecolor=OTHER, alpha=0.55, linewidth=0, label="25 to 75 %"),
        Patch(facecolor=OTHER, alpha=0.22, linewidth=0, label="5 to 95 %"),
        Line2D([], [], color=OTHER, linewidth=0.5, label="least, greatest"),
        Line2D([], [], **PHASE, label="learning rate drops"),
    ]
    drawing.legend(handles=handles, loc="outside upper center", ncols=len(handles), **LINE)
    drawing.supxlabel("training step", fontsize=8)
    return drawing


def _pooled(spec: Spec, seeds: Sequence[int], runs: Path) -> dict[str, np.ndarray]:
    """Gammas and betas of all seeds side by side: `step` (points,), others (points, seeds * filters)."""
    paths = [run_folder(runs, spec.id, seed) / "affine.safetensors" for seed in seeds]
    of_seeds = [record.read_affine(path) for path in paths]
    for path, arrays in zip(paths, of_seeds, strict=True):
        if not np.array_equal(arrays["step"], of_seeds[0]["step"]):
            raise UserError(f"{path} has other steps than {paths[0]}: delete its folder and train the run again")
    drawn = [key for key in of_seeds[0] if key.startswith(("gamma_", "beta_"))]
    pooled = {key: np.concatenate([arrays[key] for arrays in of_seeds], axis=1) for key in drawn}
    return {**pooled, "step": of_seeds[0]["step"]}


def _fan(ax: Axes, step: np.ndarray, values: np.ndarray, color: str) -> None:
    """The distribution of values (points, features) over the steps (points,)."""
    least, low, first, median, third, high, most = np.quantile(values, QUANTILES, axis=1)
    ax.axhline(0, color=LIGHT, linewidth=0.6, zorder=0)
    ax.fill_between(step, low, high, color=color, alpha=0.22, linewidth=0)
    ax.fill_between(step, first, third, color=color, alpha=0.4, linewidth=0)
    for edge in (least, most):
        ax.plot(step, edge, color=color, linewidth=0.5)
    ax.plot(step, median, color=color, linewidth=1.2)


# Figure 2


def _universality(plan: Plan, figure: CurveFigure, runs: Path) -> Figure:
    """A histogram of the features' universality for each layer: the first curve filled, others as steps."""
    layers = plan.specs[figure["curves"][0]["spec_id"]].network.layers
    rows = math.ceil((len(layers) + 1) / 4)  # a cell more than layers, for the legend
    drawing, axes = canvas(0.3 + 1.4 * rows, rows, 4)
    edges = np.linspace(0, 1, BINS + 1)
    for number, curve in enumerate(figure["curves"]):
        spec = plan.specs[curve["spec_id"]]
        color = COLORS.get(spec.optimizer, OTHER)
        if number == 0:
            style = {"facecolor": (color, 0.45), "edgecolor": color, "linewidth": 0.5, "fill": True}
        else:
            style = {"color": color, "linewidth": 1.1, "linestyle": (":", "-", "--")[number % 3]}
        label = f"{escape_mathtext(curve['label'])}: {REGULARIZERS[spec.regularizer]}, {_strength(spec.strength)}"
        living, dead = _histograms(spec, plan.seeds_of(spec.id), runs, edges)
        for ax, layer in zip(axes.flat, layers, strict=False):
            ax.stairs(10 * living[layer], edges, label=label, **style)
            ax.stairs([10 * dead[layer]], DEAD, **style)
    for ax, layer in zip(axes.flat, layers, strict=False):
        ax.set_title(layer)
        ax.axvline(DEAD[1] / 2, **PHASE, zorder=0)
        ax.set_xlim(DEAD[0] - 0.02, 1)
        ax.set_ylim(0, None)
        ax.set_xticks([sum(DEAD) / 2, 0, 0.5, 1], ["dead", "0", "0.5", "1"])
        ax.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=3, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter("{x:g}")
    for ax in axes.flat[len(layers) :]:
        ax.set_axis_off()
    axes.flat[len(layers)].legend(*axes.flat[0].get_legend_handles_labels(), loc="center")
    drawing.supxlabel("universality", fontsize=8)
    drawing.supylabel(r"fraction of features ($\times 10$)", fontsize=8)
    return drawing


def _histograms(
    spec: Spec, seeds: Sequence[int], runs: Path, edges: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Of each layer's features, the share of living ones in each bin of universality (bins,), and of dead ones.

    A feature is dead if its largest response over the training images is below the paper's threshold (caption of Table
    4). Its universality then means nothing: what a decayed beta leaves may be the same for all images. Shares are of
    all features, the mean over the seeds.
    """
    paths = [run_folder(runs, spec.id, seed) / "features.csv" for seed in seeds]
    features = pd.concat(record.read_features(path) for path in paths)  # each seed has as many features as another
    living, dead = {}, {}
    for layer, own in features.groupby("layer"):
        is_dead = own["largest_activation"] < ACTIVATION_THRESHOLD
        living[str(layer)] = np.histogram(own["universality"][~is_dead], edges)[0] / len(own)
        dead[str(layer)] = float(is_dead.mean())
    return living, dead


# Figure 3


def _simulation(figure: SimulationFigure, path: Path) -> Figure:
    """The scalar over the iterations: a panel per optimizer and regularizer, a curve per strength."""
    try:
        frame = pd.read_csv(path).set_index(["panel", "regularizer", "strength"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it and simulate again") from None
    rows = math.ceil(len(figure["panels"]) / 3)
    drawing, axes = canvas(0.6 + 1.2 * rows, rows, 3, sharex=True, sharey=True)
    colors = _graded(sorted(figure["strengths"]))
    *changes, end = itertools.accumulate(phase["iterations"] for phase in figure["phases"])
    for ax, panel in zip(axes.flat, figure["panels"], strict=False):
        for strength, color in colors.items():
            key = (*panel_key(panel), strength)
            if key not in frame.index:
                raise UserError(f"{path} has no curve of {', '.join(map(str, key))}: delete it and simulate again")
            curve = frame.loc[[key]]
            ax.fill_between(curve["iteration"], curve["low"], curve["high"], color=color, alpha=0.25, linewidth=0)
            ax.plot(curve["iteration"], curve["median"], color=color, linewidth=1.1)
        _label_curves(ax, {strength: frame.loc[[(*panel_key(panel), strength)]] for strength in colors}, colors)
        name = NAMES.get(panel["optimizer"], escape_mathtext(panel["label"]))
        ax.set_title(f"{name}, {REGULARIZERS[panel['regularizer']]}")
        for change in changes:
            ax.axvline(change, **PHASE, zorder=0)
        ax.axhline(0, color=LIGHT, linewidth=0.6, zorder=0)
        ax.set_xlim(0, end)
        ax.set_ylim(-0.04, 1.14)
        ax.set_yticks([0, 0.5, 1])
    for ax in axes.flat[len(figure["panels"]) :]:
        ax.set_axis_off()
    handles = [
        Line2D([], [], color=OTHER, linewidth=1.1, label=r"median, labelled with $\lambda$"),
        Patch(facecolor=OTHER, alpha=0.25, linewidth=0, label="5 to 95 %"),
        Line2D([], [], **PHASE, label="gradients fall"),
    ]
    drawing.legend(handles=handles, loc="outside upper center", ncols=len(handles), **LINE)
    drawing.supxlabel("iteration", fontsize=8)
    drawing.supylabel("value of the scalar", fontsize=8)
    return drawing


def panel_key(panel: SimulationPanel) -> tuple[str, str]:
    """By what the simulation's CSV knows a panel."""
    return panel["label"], panel["regularizer"]


def _label_curves(ax: Axes, curves: dict[float, pd.DataFrame], colors: dict[float, Any]) -> None:
    """Each curve's strength, upon it: where it falls below a height of its own, or at its end if it stays above."""
    flat = []
    for number, (strength, curve) in enumerate(curves.items()):
        iteration, median = curve["iteration"].to_numpy(), curve["median"].to_numpy()
        height = 0.86 - 0.68 * number / max(len(curves) - 1, 1)
        text = {"s": f"${power(strength)}$", "color": colors[strength], "fontsize": 7}
        if median.min() < height:
            after = int(np.argmax(median < height))
            x = np.interp(height, median[[after, after - 1]], iteration[[after, after - 1]])
            ax.text(x, height, ha="left" if x < iteration[-1] / 9 else "center", va="center", bbox=PAPER, **text)
        else:
            flat.append((iteration[-1], median[-1], text))
    for number, (x, y, text) in enumerate(flat):  # the weakest above its curve, others below theirs
        ax.text(0.98 * x, y + (0.02 if number == 0 else -0.03), ha="right", va="top" if number else "bottom", **text)
