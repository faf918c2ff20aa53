"""All numbers that the paper prints, ours beside them, in one picture. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .aggregate import LOSSES
from .errors import UserError
from .plan import Plan
from .plot import STRENGTHS, WIDTH, save

HEAD = {
    "train_loss": "train\nloss",
    "test_loss": "test\nloss",
    "test_error": "test\nerror",
    "sparsity_by_gamma": "by γ",
    "sparsity_by_activation": "by act.",
    "params_pruned": "params\npruned",
    "pruned_test_error": "pruned\nerror",
}
ROW = 0.155  # inches
LEFT, GRID = 1.62, WIDTH - 1.66  # inches: the rows' labels, and the cells
MOST_LOSS = 4.0  # a loss that is shaded as 100 % is
DIFFERS = "#b5452c"
FRAMES = {"differs": (DIFFERS, 1.3, "-"), "undecided": ("0.35", 0.7, ":")}  # colour, width and style of a line


def overview(plan: Plan, cells: Path, out: Sequence[Path]) -> None:
    """Draw all the paper's numbers beside ours, from the cells that `judge` wrote, into each of `out` (.pdf, .png)."""
    save(lambda: draw(plan, cells), out)


def draw(plan: Plan, path: Path) -> Figure:
    """A cell for every number: its left half is shaded by ours, its right half by the paper's."""
    try:
        cells = pd.read_csv(
            path,
            dtype=dict.fromkeys(("panel", "group", "row", "block"), str),
            keep_default_na=False,
            na_values=dict.fromkeys(("mean", "paper"), ""),
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it and judge again") from None
    tables = {
        str(name): list(own.groupby(["panel", "group", "row"], sort=False))
        for name, own in cells.groupby("table", sort=False)
    }
    heights = [ROW * (len(rows) + 2.6) for rows in tables.values()]
    height = sum(heights) + 0.5
    drawn = Figure(figsize=(WIDTH, height))
    shades = sns.color_palette(STRENGTHS, as_cmap=True)
    columns = max(len(own) for rows in tables.values() for _, own in rows)
    top = 0.42
    for (name, rows), tall in zip(tables.items(), heights, strict=True):
        box = (LEFT / WIDTH, 1 - (top + tall - 0.1) / height, GRID / WIDTH, ROW * len(rows) / height)
        ax = drawn.add_axes(box)
        ax.set(xlim=(0, columns), ylim=(len(rows), 0))
        ax.set_axis_off()
        source = plan.tables[name]["source"].removeprefix("supplement, ")
        _table(ax, source, [own for _, own in rows], 0.05 - LEFT / (GRID / columns), shades)
        top += tall
    _key(drawn, plan, cells, shades, height)
    return drawn


def _table(ax: Axes, source: str, rows: list[pd.DataFrame], left: float, shades: Any) -> None:
    """A table's rows of cells; labels of its groups begin at `left`, in widths of a cell."""
    ax.text(left, -1.05, source, fontsize=8.5, va="center")
    for x, key in enumerate(zip(rows[0]["block"], rows[0]["metric"], rows[0]["layer"], strict=True)):
        size = 5 if key[0] else 6
        ax.text(x + 0.5, -0.25, _head(*key), ha="center", va="bottom", fontsize=size, linespacing=1.2)
    last = None
    for y, own in enumerate(rows):
        group, row = str(own["group"].iloc[0]), str(own["row"].iloc[0])
        if group != last:
            ax.text(left, y + 0.5, group, va="center", fontsize=6.5)
            last = group
        ax.text(-0.12, y + 0.5, _plain(row), ha="right", va="center", fontsize=6.5)
        lines: list[Any] = own.to_dict("records")
        for x, line in enumerate(lines):
            _halves(ax, x, y, line, shades)


def _plain(label: str) -> str:
    """A row's label in letters that the figure's font has."""
    for letter, name in (("γ", "gamma"), ("β", "beta")):
        label = label.replace(f"{letter}_init", rf"$\{name}_0$").replace(letter, rf"$\{name}$")
    return label.replace("−", "$-$").removeprefix("Baseline (").removesuffix(")")


def _head(block: str, metric: str, layer: str) -> str:
    name = layer.capitalize() if layer and not block else HEAD[metric].replace("γ", r"$\gamma$")
    return f"{block}\n{name.replace(chr(10), ' ')}" if block else name


def _halves(ax: Axes, x: int, y: int, line: dict[str, Any], shades: Any) -> None:
    most = MOST_LOSS if line["metric"] in LOSSES else 1.0
    for at, value in ((x + 0.06, line["mean"]), (x + 0.5, line["paper"])):
        if math.isnan(value):
            ax.plot([at + 0.14, at + 0.3], [y + 0.5, y + 0.5], color="0.6", linewidth=0.6)
        else:
            ax.add_patch(Rectangle((at, y + 0.08), 0.44, 0.84, facecolor=shades(min(value / most, 1.0)), linewidth=0))
    color, width, style = FRAMES.get(line["verdict"], ("0.8", 0.3, "-"))
    frame: dict[str, Any] = {"fill": False, "edgecolor": color, "linewidth": width, "linestyle": style}
    ax.add_patch(Rectangle((x + 0.06, y + 0.08), 0.88, 0.84, **frame))


def _key(drawn: Figure, plan: Plan, cells: pd.DataFrame, shades: Any, height: float) -> None:
    """What the shades and frames mean, and how many cells there are of each verdict."""
    bar = drawn.add_axes((LEFT / WIDTH, 1 - 0.17 / height, 1.3 / WIDTH, 0.09 / height))
    bar.imshow(np.linspace(0, 1, 64)[None], aspect="auto", cmap=shades)
    bar.set(xticks=[0, 63], yticks=[])
    bar.set_xticklabels(["0", f"100 %, or a loss of {MOST_LOSS:g}"], fontsize=6)
    bar.tick_params(length=0, pad=1)
    for spine in bar.spines.values():
        spine.set_linewidth(0.3)
    counts = cells["verdict"].value_counts()
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    near, far, first, second = 0.05 / WIDTH, 1 - 0.04 / WIDTH, 1 - 0.12 / height, 1 - 0.26 / height
    drawn.text(near, first, "left ours, right the paper's:", fontsize=7, va="center")
    told = f"scale {plan.scale}, {len(cells)} printed numbers: {said}"
    drawn.text(far, first, told, fontsize=7, ha="right", va="center")
    if "differs" in counts:
        drawn.text(far, second, "framed: beyond tolerance", fontsize=6.5, ha="right", va="center", color=DIFFERS)
