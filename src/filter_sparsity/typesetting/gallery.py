"""Figure 4: the rendered classes, each plain and before a cluttered background. Torch-free."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..data.prepared import PreparedArrays, PreparedFiles, read
from ..errors import UserError
from ..parts import GalleryFigure
from ..paths import dataset_file
from ..plan import Plan
from .style import NOTE, WIDTH

COLUMNS = 10  # classes side by side
TRIED = 20  # images of a class, until one is found in both datasets


def draw_gallery(plan: Plan, figure: GalleryFigure, prepared: Path) -> Figure:
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
