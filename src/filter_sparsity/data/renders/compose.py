"""From foregrounds to the plain and the cluttered dataset: the same renders over a constant, or over crops. Torch-free.

All arithmetic is in integers, so that bytes are exact. Where an object fills a pixel (alpha 255), both datasets have
its own colour.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...paths import renders_of
from ..sources.base import SPLITS, ArraySource
from . import objectnet3d, shapes
from .render import Foregrounds, MeshLibrary, Settings, generator, read

MODELS: dict[str, Callable[[Path, tuple[str, ...]], MeshLibrary]] = {
    "shapes": shapes.models,
    "objectnet3d": objectnet3d.models,
}
PICTURES: dict[str, Callable[[Path, int], dict[str, list[np.ndarray]]]] = {
    "shapes": shapes.pictures,
    "objectnet3d": objectnet3d.pictures,
}


def blend(foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Foreground over background, uint8 (..., 3), to the nearest level.

    The foreground is straight RGBA, uint8 (..., 4); the background is uint8 and broadcasts to (..., 3).
    """
    colour, alpha = foreground[..., :3].astype(np.uint32), foreground[..., 3:].astype(np.uint32)
    return ((alpha * colour + (255 - alpha) * background.astype(np.uint32) + 127) // 255).astype(np.uint8)


def crop(picture: np.ndarray, side: int, reduction: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random square of a gray picture, uint8 (side, side): each pixel is the mean of k x k pixels of the picture.

    The picture is uint8 (height, width), at least `side` pixels high and wide. k is uniform between the two numbers of
    `reduction`, or as large as the picture allows. The paper has no numbers for k: ours are assumed.
    """
    most = min(picture.shape) // side
    k = int(rng.integers(min(reduction[0], most), min(reduction[1], most), endpoint=True))
    top, left = (int(rng.integers(length - k * side, endpoint=True)) for length in picture.shape)
    square = picture[top : top + k * side, left : left + k * side].astype(np.uint32)
    return ((square.reshape(side, k, side, k).sum(axis=(1, 3)) + k * k // 2) // (k * k)).astype(np.uint8)


def backgrounds(foregrounds: Foregrounds, pictures: dict[str, list[np.ndarray]], split: str) -> np.ndarray:
    """A crop for each image of a split, gray, uint8 (N, side, side, 1), as Figure 4 of the supplement shows.

    `pictures` are uint8 (height, width), by split. Each crop is a pure function of (family, class, split, index, seed).
    """
    settings: Settings = foregrounds.settings
    labels = foregrounds.labels[split]
    crops = np.empty((len(labels), settings.side, settings.side, 1), np.uint8)
    for place, label in enumerate(labels):
        index = place % settings.images[SPLITS.index(split)]
        rng = generator(foregrounds.family, "background", settings.classes[label], split, index, settings.seed)
        picture = pictures[split][rng.integers(len(pictures[split]))]
        crops[place, :, :, 0] = crop(picture, settings.side, settings.reduction, rng)
    return crops


def compose(foregrounds: Foregrounds, pictures: dict[str, list[np.ndarray]] | None) -> ArraySource:
    """The dataset of a family's foregrounds: images uint8 (N, 3, side, side), labels int64 (N,), by split.

    With `pictures`, uint8 (height, width) by split, it is the cluttered one; with None, the plain one (the supplement's
    Figure 4 has both, of the same renders).
    """
    settings = foregrounds.settings
    splits = {}
    for split in SPLITS:
        plain = np.full(1, settings.plain, np.uint8)
        background = plain if pictures is None else backgrounds(foregrounds, pictures, split)
        images = blend(foregrounds.images[split], background)
        splits[split] = np.ascontiguousarray(images.transpose(0, 3, 1, 2)), foregrounds.labels[split]
    return ArraySource(classes=settings.classes, train=splits["train"], test=splits["test"])


def load(name: str, root: Path, rendered: Path | None = None) -> ArraySource:
    """The dataset `<family>_plain` or `<family>_cluttered`, from stored foregrounds; pictures are read below `root`.

    Images are uint8 (N, 3, side, side). Raises UserError if `rendered` is not given, is damaged or holds another
    family's foregrounds, and if pictures are missing.
    """
    family = renders_of(name)
    if rendered is None or family is None:
        raise UserError(f"{name} is composed of renders: give what `filter-sparsity render` made as --rendered")
    foregrounds = read(rendered)
    if foregrounds.family != family:
        raise UserError(f"{rendered} holds renders of {foregrounds.family}: {name} needs those of {family}")
    cluttered = name.endswith("_cluttered")
    return compose(foregrounds, PICTURES[family](root, foregrounds.settings.side) if cluttered else None)
