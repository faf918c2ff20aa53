"""What all pictures share: letters, colours, sizes, and files that are the same wherever they are made. Torch-free."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from ..files import atomic_write

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
NOTE = "0.38"  # gray that a small letter can have
LINE: dict[str, Any] = {"columnspacing": 1.4, "handlelength": 1.6, "handletextpad": 0.5}  # a legend in one line
THEIRS: dict[str, Any] = {"fillstyle": "none", "linestyle": ":"}  # the paper's line beside ours


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


def canvas(height: float, rows: int, columns: int, **shared: Any) -> tuple[Figure, np.ndarray]:
    """A figure of the report's width, `height` in inches, with axes (rows, columns)."""
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    for ax in axes.flat:
        sns.despine(ax=ax)
    return figure, axes
