"""Figures 1 to 4, from what runs and the simulation wrote, and from prepared datasets. Torch-free."""

from __future__ import annotations

import itertools
import logging
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, MaxNLocator

from ..data.prepared import PreparedArrays, PreparedFiles, read
from ..errors import UserError
from ..files import atomic_write
from ..letters import escape_mathtext
from ..metrics import ACTIVATION_THRESHOLD
from ..parts import CurveFigure, GalleryFigure, SimulationFigure, SimulationPanel
from ..paths import dataset_file, run_folder
from ..plan import Plan
from ..records import record
from ..spec import Spec
from ..verdict.cells import read_cells
from ..verdict.labels import NAMES

logging.getLogger("fontTools").setLevel(logging.ERROR)  # it finds the date of cmr10 odd, in every file

WIDTH = 6.7  # inches: the text of an A4 page
STYLE = {
    "font.family": ["cmr10", "STIXGeneral"],  # Computer Modern, as the report; STIX for what it lacks
    "mathtext.fontset": "cm",
    "axes.formatter.use_mathtext": True,  # cmr10 has no minus sign
    "axes.unicode_minus": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "axes.labelpad": 3,
    "axes.titlepad": 4,
}
FOREIGN = re.compile(r'[_<>|\\{}~^"\xa1-\xc4]')  # cmr10 has TeX's letters in the places of these
MATHEMATICS = re.compile(r"(?<!\\)\$.*?(?<!\\)\$|\\\$")
COLORS = {"adam": "#b5452c", "sgd": "#2b5c8a"}  # beside another sign in every panel: print may be gray
OTHER = "0.3"  # colour of the other optimizers, and of legends that hold for all
STRENGTHS = "mako_r"  # from light to dark, in gray too
PALEST = 2  # of it are too faint for a line on white
NOTE = "0.38"  # gray that a small letter can have
LIGHT = "0.75"  # lines at 0
PHASE: dict[str, Any] = {"color": "0.6", "linewidth": 0.6, "linestyle": (0, (4, 2))}  # where a phase ends
LINE: dict[str, Any] = {"columnspacing": 1.4, "handlelength": 1.6, "handletextpad": 0.5}  # a legend in one line
PAPER: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}  # behind a label
THEIRS: dict[str, Any] = {"fillstyle": "none", "linestyle": ":"}  # the paper's line beside ours
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


def save(draw: Callable[[], Figure], out: Sequence[Path]) -> None:
    """Draw in the report's style into each of `out`: the same data give the same bytes, with any matplotlibrc."""
    with mpl.rc_context():
        mpl.rcdefaults()
        sns.set_theme(context="paper", style="ticks", rc=STYLE)
        drawing = draw()
        for text in drawing.findobj(Text):
            if FOREIGN.search(MATHEMATICS.sub("", text.get_text())):
                text.set_fontfamily("STIXGeneral")
        drawing.draw_without_rendering()
        drawing.set_layout_engine("none")  # laid out once, so all files are alike
        for path in out:
            ending = path.suffix.lstrip(".")
            undated = {"CreationDate": None} if ending == "pdf" else {}
            with atomic_write(path) as temporary:
                drawing.savefig(temporary, format=ending, metadata=undated)


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
        return _gallery(plan, figure, prepared)
    drawing = {"affine": _affine, "universality": _universality}[figure["kind"]](plan, figure, runs)
    if not plan.is_paper_scale:
        note = f"scale {plan.scale}: not the paper's setting"
        drawing.text(0.995, 0.002, note, ha="right", va="bottom", fontsize=6.5, color=NOTE)
    return drawing


def _canvas(height: float, rows: int, columns: int, **shared: Any) -> tuple[Figure, np.ndarray]:
    """A figure of the report's width, `height` in inches, with axes (rows, columns)."""
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    for ax in axes.flat:
        sns.despine(ax=ax)
    return figure, axes


# Figure 1


def _affine(plan: Plan, figure: CurveFigure, runs: Path) -> Figure:
    """Gammas and betas of some layers as training goes on: a row for each, a column for each curve."""
    specs = [plan.specs[curve["spec_id"]] for curve in figure["curves"]]
    rows = [(layer, kind) for layer in figure["layers"] for kind in ("gamma", "beta")]
    drawing, axes = _canvas(0.5 + 1.3 * len(rows), len(rows), len(specs), sharex="col", sharey="row")
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
    drawing, axes = _canvas(0.3 + 1.4 * rows, rows, 4)
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
    drawing, axes = _canvas(0.6 + 1.2 * rows, rows, 3, sharex=True, sharey=True)
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


# Of the verdict: no figure of the supplement's


def plot_layers(cells: Path, out: Sequence[Path]) -> None:
    """Draw what each layer loses in Table 1, from the cells that `judge` wrote, into each of `out` (.pdf, .png)."""
    save(lambda: draw_layers(read_cells(cells)), out)


def draw_layers(cells: pd.DataFrame) -> Figure:
    """Filters lost in each layer and in all, Adam's beside SGD's: a colour for each L2, ours and the paper's.

    Letters are large: the README and page 1 of the report show it, and people read both on a phone.
    """
    shares = cells[(cells["table"] == "table1") & (cells["metric"] == "sparsity_by_gamma")]
    shares = shares[shares["row"].str.startswith("L2")]
    groups = {str(label): own for label, own in shares.groupby("group", sort=False)}
    keys = [*dict.fromkeys(shares["layer"])]
    places = [*range(len(keys) - 1), len(keys) - 0.5]  # the total stands aside
    drawing, axes = _canvas(3.1, 1, max(len(groups), 1), sharey=True)
    for ax, (label, own) in zip(axes.flat, groups.items(), strict=False):
        rows = {str(row): lines for row, lines in own.groupby("row", sort=False)}
        colors = (COLORS.get(label.lower(), OTHER), "0.45")
        totals, handles = [], []
        for number, (row, lines) in enumerate(rows.items()):
            n = int(lines["n"].max())
            paper, ours = ([100 * value for value in lines[key]] for key in ("paper", "mean"))
            color = colors[number % 2]
            style = {"color": color, "marker": "o", "markersize": 5, "linewidth": 1.6}
            _profile(ax, places, 2 * number, paper, **style, **THEIRS, label=f"{row}, the paper")
            totals.append((paper[-1], color, "({:.0f})"))
            if n:
                _profile(ax, places, 2 * number + 1, ours, **style, label=f"{row}, ours (n = {n})")
                totals.append((ours[-1], color, "{:.0f}"))
            handles.append(Patch(color=color, label=escape_mathtext(row.replace(":", ""))))
        _label_totals(ax, places[-1] + 0.55, totals)
        ax.set_title(escape_mathtext(label), fontsize=11, pad=22)
        ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.99), ncols=2, fontsize=10, **LINE)
        ax.set_xticks(places, [key.capitalize() for key in keys])
        ax.set_xlim(-0.4, places[-1] + 1.3)
        ax.set_ylim(-3, 103)
        ax.set_yticks(range(0, 101, 20))
        ax.tick_params(labelsize=9)
    axes[0, 0].set_ylabel("filters lost (%)", fontsize=10)
    line: dict[str, Any] = {"color": OTHER, "marker": "o", "markersize": 5, "linewidth": 1.6}
    counts = sorted({int(n) for n in shares["n"] if n})
    seeds = " to ".join(str(n) for n in dict.fromkeys([*counts[:1], *counts[-1:]]))
    kinds = [
        Line2D([], [], **line, label=f"ours (n = {seeds})" if seeds else "ours: no runs"),
        Line2D([], [], **line, **THEIRS, label="the paper's (in brackets)"),
    ]
    drawing.legend(handles=kinds, loc="outside lower center", ncols=2, fontsize=10, **LINE)
    return drawing


def _label_totals(ax: Axes, x: float, totals: Sequence[tuple[float, Any, str]]) -> None:
    """The totals (percent, colour, format) as numbers at `x`, from the least on, none upon another."""
    height = -math.inf
    for value, color, form in sorted((total for total in totals if not math.isnan(total[0])), key=lambda t: t[0]):
        height = max(value, height + 7)
        ax.text(x, height, form.format(value), color=color, fontsize=9, va="center")


def _profile(ax: Axes, places: Sequence[float], number: int, percent: Sequence[float], **style: Any) -> None:
    """A line over the layers, and the total as a point of its own, aside so that equal totals do not hide another."""
    ax.plot(places[:-1], percent[:-1], **style)
    ax.plot([places[-1] + 0.13 * (number - 1.5)], percent[-1:], **{**style, "label": "_total"})


# Figure 4


COLUMNS = 10  # classes side by side
TRIED = 20  # images of a class, until one is found in both datasets


def _gallery(plan: Plan, figure: GalleryFigure, prepared: Path) -> Figure:
    """An image of each class: plain above, and the same render cluttered below."""
    paths = [dataset_file(prepared, name) for name in (figure["plain"], figure["cluttered"])]
    plain, cluttered = (read(path) for path in paths)
    if isinstance(plain, PreparedFiles) or isinstance(cluttered, PreparedFiles) or plain.classes != cluttered.classes:
        raise UserError(f"{paths[0]} and {paths[1]} have other classes: prepare both again")
    gap, label, between = 0.03, 0.145, 0.05  # inches: between images, for a name, below a pair
    frame = 0.4 / 72
    cell = (WIDTH - frame + gap) / COLUMNS
    size = cell - gap
    pair = label + 2 * size + gap + between
    rows = math.ceil(len(plain.classes) / COLUMNS)
    stands_for = plan.datasets[figure["plain"]].stands_for
    height = rows * pair + (0.1 if stands_for else frame - between)
    drawing = Figure(figsize=(WIDTH, height))
    for number, name in enumerate(plain.classes):
        row, column = divmod(number, COLUMNS)
        left, top = frame / 2 + column * cell, height - row * pair - label
        shown = _twins(plain, cluttered, number)
        if shown is None:
            raise UserError(f"{paths[0]} and {paths[1]} show other renders of {name!r}: prepare both again")
        for place, image in enumerate(shown):
            bottom = top - (place + 1) * size - place * gap
            ax = drawing.add_axes((left / WIDTH, bottom / height, size / WIDTH, size / height))
            ax.imshow(image.transpose(1, 2, 0), interpolation="none", aspect="auto")
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(linewidth=72 * frame, color="0.6")
        middle = (left + size / 2) / WIDTH
        drawing.text(middle, (top + 0.035) / height, name, ha="center", va="baseline", fontsize=7)
    if stands_for:
        family = figure["plain"].rpartition("_")[0]
        note = f"scale {plan.scale}: {family} in place of ObjectNet3D"
        drawing.text(1, 0.004, note, ha="right", va="bottom", fontsize=6.5, color=NOTE)
    return drawing


def _twins(plain: PreparedArrays, cluttered: PreparedArrays, label: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A training image of a class (channels, side, side), and the cluttered one that shows the same render.

    Prepared images have no order, so it is found by its pixels: inside the object they agree. A thin object may have
    few pixels to itself, so the first image with enough of them is taken. None if there is none among `TRIED`.
    """
    others = cluttered.images["train"][cluttered.labels["train"] == label]
    for image in plain.images["train"][plain.labels["train"] == label][:TRIED]:
        inside = (image != image[:, :1, :1]).any(axis=0)  # a corner is never of the object
        equal = (others == image).all(axis=1)[:, inside].mean(axis=1)  # less than 1 for the blended edge
        best = int(equal.argmax())
        if equal[best] > 0.2:
            return image, others[best]
    return None
