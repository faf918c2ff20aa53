"""The picture of the verdict: what each layer loses under Adam and SGD, ours beside the paper's. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..letters import escape_mathtext
from ..verdict.cells import read_cells
from .style import COLORS, LINE, OTHER, THEIRS, canvas, save


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
    drawing, axes = canvas(3.1, 1, max(len(groups), 1), sharey=True)
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
