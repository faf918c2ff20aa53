"""All numbers that the paper prints, ours beside them, in one picture. Torch-free."""

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
from matplotlib.patches import Rectangle

from ..letters import escape_mathtext
from ..metrics import METRICS, Kind
from ..plan import Plan
from ..verdict.cells import read_cells
from ..verdict.verdicts import NumberVerdict
from .style import STRENGTHS, WIDTH, save

ROW = 0.142  # inches
HEADS, GROUP_LINE, GAP = 2.1, 1.0, 0.7  # rows: columns' heads, the line of column groups above them, and below a table
SIZE = 8  # points: the report shows this at three quarters of it, where it shares a page
LEFT, GRID = 1.62, WIDTH - 1.66  # inches: the rows' labels, and the cells
MOST_LOSS = 4.0  # a loss that is shaded as 100 % is; a greater one is shaded so, too
DIFFERS = "#b5452c"
FRAMES: dict[str, tuple[str, float, str]] = {  # colour, width and style of a line
    NumberVerdict.DIFFERS: (DIFFERS, 1.3, "-"),
    NumberVerdict.UNDECIDED: ("0.35", 0.7, ":"),
}
FRAMED = {NumberVerdict.DIFFERS: "red frame: differs", NumberVerdict.UNDECIDED: "dotted: undecided"}
KEY = 0.45  # inches


def plot_overview(plan: Plan, cells: Path, out: Sequence[Path]) -> None:
    """Draw all the paper's numbers beside ours, from the cells that `judge` wrote, into each of `out` (.pdf, .png)."""
    save(lambda: draw(plan, cells), out)


def draw(plan: Plan, path: Path) -> Figure:
    """A cell for every number: its left half is shaded by ours, its right half by the paper's."""
    cells = read_cells(path)
    tables = {
        str(name): list(own.groupby(["panel", "group", "row"], sort=False))
        for name, own in cells.groupby("table", sort=False)
    }
    above = {name: HEADS + (GROUP_LINE if rows[0][1]["column_group"].any() else 0) for name, rows in tables.items()}
    height = KEY + ROW * sum(above[name] + len(rows) + GAP for name, rows in tables.items())
    drawing = Figure(figsize=(WIDTH, height))
    shades = sns.color_palette(STRENGTHS, as_cmap=True)
    columns = max(len(own) for rows in tables.values() for _, own in rows)
    top = KEY
    for name, rows in tables.items():
        top += ROW * (above[name] + len(rows))
        box = (LEFT / WIDTH, 1 - top / height, GRID / WIDTH, ROW * len(rows) / height)
        ax = drawing.add_axes(box)
        ax.set(xlim=(0, columns), ylim=(len(rows), 0))
        ax.set_axis_off()
        source = plan.tables[name]["source"].removeprefix("supplement, ")
        _table(ax, source, [own for _, own in rows], 0.05 - LEFT / (GRID / columns), shades)
        top += ROW * GAP
    _key(drawing, plan, cells, shades, height)
    return drawing


def _table(ax: Axes, source: str, rows: list[pd.DataFrame], left: float, shades: Any) -> None:
    """A table's rows of cells; labels of its groups begin at `left`, in widths of a cell."""
    ax.text(left, -1.05, source, fontsize=9, va="center")
    columns = zip(rows[0]["column_group"], rows[0]["metric"], rows[0]["layer"], strict=True)
    for x, (column_group, metric, layer) in enumerate(columns):
        head = layer.capitalize() if layer and not column_group else _plain(METRICS[metric].overview_heading)
        ax.text(x + 0.5, -0.25, head, ha="center", va="bottom", fontsize=SIZE, linespacing=1.1)
    start = 0
    for column_group, below in itertools.groupby(rows[0]["column_group"]):
        end = start + len(list(below))
        if column_group:
            ax.text(
                (start + end) / 2, -HEADS - 0.1, escape_mathtext(column_group), ha="center", va="bottom", fontsize=SIZE
            )
            ax.plot([start + 0.06, end - 0.06], [-HEADS, -HEADS], color="0.5", linewidth=0.4, clip_on=False)
        start = end
    last = None
    for y, own in enumerate(rows):
        group, row = str(own["group"].iloc[0]), str(own["row"].iloc[0])
        if group != last:
            ax.text(left, y + 0.5, escape_mathtext(group), va="center", fontsize=SIZE)
            last = group
        ax.text(-0.12, y + 0.5, _plain(row), ha="right", va="center", fontsize=SIZE)
        values = zip(own["metric"], own["mean"], own["paper"], own["verdict"], strict=True)
        for x, (metric, ours, paper, verdict) in enumerate(values):
            most = MOST_LOSS if METRICS[metric].kind == Kind.NUMBER else 1.0
            _draw_cell(ax, x, y, (ours / most, paper / most), verdict, shades)


def _plain(label: str) -> str:
    """A label in letters that the figure's font has."""
    label = escape_mathtext(label)
    for letter, name in (("γ", "gamma"), ("β", "beta")):
        label = label.replace(f"{letter}_init", rf"$\{name}_{{\mathrm{{init}}}}$").replace(letter, rf"$\{name}$")
    return label.replace("−", "$-$").removeprefix("Baseline (").removesuffix(")")


def _draw_cell(ax: Axes, x: int, y: int, values: tuple[float, float], verdict: str, shades: Any) -> None:
    """A cell: its halves shaded by our value and the paper's (1 is darkest, NaN a dash), its frame by the verdict."""
    for at, value in zip((x + 0.06, x + 0.5), values, strict=True):
        if math.isnan(value):
            ax.plot([at + 0.14, at + 0.3], [y + 0.5, y + 0.5], color="0.6", linewidth=0.6)
        else:
            ax.add_patch(Rectangle((at, y + 0.08), 0.44, 0.84, facecolor=shades(min(value, 1.0)), linewidth=0))
    color, width, style = FRAMES.get(verdict, ("0.8", 0.3, "-"))
    ax.add_patch(
        Rectangle((x + 0.06, y + 0.08), 0.88, 0.84, fill=False, edgecolor=color, linewidth=width, linestyle=style)
    )


def _key(drawing: Figure, plan: Plan, cells: pd.DataFrame, shades: Any, height: float) -> None:
    """What the shades and frames mean, and how many cells there are of each verdict."""
    near, far, first, second = 0.05 / WIDTH, 1 - 0.04 / WIDTH, 1 - 0.09 / height, 1 - 0.27 / height
    bar = drawing.add_axes((near, second - 0.05 / height, 1.0 / WIDTH, 0.1 / height))
    bar.imshow(np.linspace(0, 1, 64)[None], aspect="auto", cmap=shades)
    bar.set(xticks=[], yticks=[])
    for spine in bar.spines.values():
        spine.set_linewidth(0.3)
    counts = cells["verdict"].value_counts()
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    scale = f"shares and errors 0 to 100 %, losses 0 to {MOST_LOSS:g} or more; darker is larger"
    frames = "; ".join(text for verdict, text in FRAMED.items() if verdict in counts)
    for x, y, text, side in (
        (near, first, "left ours, right the paper's; a dash: not measured", "left"),
        (far, first, f"scale {plan.scale}, {len(cells)} printed numbers: {verdicts}", "right"),
        (1.12 / WIDTH, second, scale, "left"),
        (far, second, frames, "right"),
    ):
        drawing.text(x, y, text, fontsize=SIZE, ha=side, va="center")
