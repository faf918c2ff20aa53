"""The embedded stand-in for ObjectNet3D's CAD models: 30 classes of parametric solids, and two pictures for clutter.

A model is a mesh whose proportions are drawn at random around those of its class. z points up, as in the CAD models.
Torch-free.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ...errors import UserError
from .render import MeshLibrary, generator

if TYPE_CHECKING:
    from trimesh import Trimesh

PER_CLASS = 6  # models of a class
SECTIONS = 40  # of whatever is round
Rng = np.random.Generator


def models(root: Path, classes: Sequence[str]) -> MeshLibrary:
    """The models of some classes, `PER_CLASS` of each; `root` is not read. Raises UserError for an unknown class."""
    for name in classes:
        if name not in SHAPES:
            raise UserError(f"there is no shape {name!r}: there are {', '.join(SHAPES)}")
    return MeshLibrary({name: [str(number) for number in range(PER_CLASS)] for name in classes}, mesh)


def mesh(name: str, model: str) -> Trimesh:
    """A model of a class: a pure function of its class and number, `0` to `5`.

    Raises KeyError for a class that is not in `SHAPES`.
    """
    rng = generator("shapes", "model", name, model)
    return SHAPES[name](rng).apply_scale(rng.uniform(0.85, 1.15, 3))


def pictures(root: Path, side: int) -> dict[str, list[np.ndarray]]:
    """Two photographs in gray, uint8 (height, width), by split: their left 5/8 for training, the rest for testing.

    They stand for PeopleArt's Cubism (Figure 4 of the supplement). `root` and `side` are not used: scikit-learn has
    them, with 427 x 640 pixels.
    """
    from sklearn.datasets import load_sample_images

    photographs = [gray(photograph) for photograph in load_sample_images().images]
    cut = [p.shape[1] * 5 // 8 for p in photographs]
    return {
        "train": [p[:, :c] for p, c in zip(photographs, cut, strict=True)],
        "test": [p[:, c:] for p, c in zip(photographs, cut, strict=True)],
    }


def gray(colour: np.ndarray) -> np.ndarray:
    """uint8 (height, width, 3) as luma, uint8 (height, width): ITU-R 601 in integers, so that bytes are exact."""
    weights = np.array([299, 587, 114], np.uint32)
    return np.stack([(row.astype(np.uint32) @ weights // 1000).astype(np.uint8) for row in colour])


# Parts


def _box(size: Sequence[float], at: Sequence[float] = (0, 0, 0)) -> Trimesh:
    from trimesh.creation import box

    return box(extents=size, transform=_shift(at))


def _shift(at: Sequence[float]) -> np.ndarray:
    transform = np.eye(4)
    transform[:3, 3] = at
    return transform


def _turn(first: int, second: int, cos: float, sin: float) -> np.ndarray:
    """A rotation in the plane of two axes."""
    transform = np.eye(4)
    transform[[first, first, second, second], [first, second, first, second]] = [cos, -sin, sin, cos]
    return transform


def _join(*parts: Trimesh) -> Trimesh:
    from trimesh.util import concatenate

    return cast("Trimesh", concatenate(list(parts)))


def _lathe(*profile: tuple[float, float], sections: int = SECTIONS) -> Trimesh:
    """A profile of (radius, height), turned about the z axis."""
    from trimesh.creation import revolve

    return revolve(np.array(profile, float), sections=sections)


def _smooth(radii: Sequence[float], heights: Sequence[float]) -> list[tuple[float, float]]:
    """A profile through some radii without corners: (32) points."""
    at = np.linspace(0, 1, 32)
    knots = np.linspace(0, 1, len(radii))
    fitted = np.polynomial.Polynomial.fit(knots, radii, len(radii) - 1)(at)
    return list(zip(np.maximum(fitted, 0.02), np.interp(at, knots, heights), strict=True))


def _upright(outline: np.ndarray, depth: float) -> Trimesh:
    """A star-shaped outline (n, 2) in the x-z plane around the origin, as thick as `depth` along y."""
    from trimesh import Trimesh

    n = len(outline)
    x, z = outline.T
    sheets = [np.column_stack([x, np.full(n, y), z]) for y in (-depth / 2, depth / 2)]
    vertices = np.vstack([*sheets, [[0, -depth / 2, 0], [0, depth / 2, 0]]])
    here = np.arange(n)
    after = np.roll(here, -1)
    faces = [
        np.column_stack([here, after, np.full(n, 2 * n)]),
        np.column_stack([after + n, here + n, np.full(n, 2 * n + 1)]),
        np.column_stack([here, here + n, after + n]),
        np.column_stack([here, after + n, after]),
    ]
    return Trimesh(vertices, np.vstack(faces))


def _tube(path: np.ndarray, radius: float, closed: bool) -> Trimesh:
    """A tube along a path (n, 3) that nowhere points straight up."""
    from trimesh import Trimesh

    tangent = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    side = np.cross(tangent, [0, 0, 1.0])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    n, m = len(path), 12
    angle = np.linspace(0, 2 * np.pi, m, endpoint=False)[None, :, None]
    around = path[:, None] + radius * (np.cos(angle) * side[:, None] + np.sin(angle) * up[:, None])
    number = np.arange(n * m).reshape(n, m)
    rings = number if not closed else np.vstack([number, number[:1]])
    here, there = rings[:-1], rings[1:]
    quads = (here, np.roll(here, -1, 1), np.roll(there, -1, 1), there)
    a, b, c, d = (q.ravel() for q in quads)
    faces = [np.column_stack([a, b, c]), np.column_stack([a, c, d])]
    if not closed:  # flat ends
        faces += [np.column_stack([np.full(m - 2, r[0]), r[1:-1], r[2:]]) for r in (number[0], number[-1])]
    return Trimesh(around.reshape(-1, 3), np.vstack(faces))


def _rod(start: Sequence[float], end: Sequence[float], radius: float) -> Trimesh:
    from trimesh.creation import cylinder

    return cylinder(radius, segment=np.array([start, end], float), sections=16)


def _ball(at: Sequence[float], radius: float) -> Trimesh:
    from trimesh.creation import icosphere

    return icosphere(subdivisions=3, radius=radius).apply_translation(at)


def _polar(radius: np.ndarray, turn: float = np.pi / 2) -> np.ndarray:
    """An outline (n, 2) from its radius at evenly spaced angles."""
    angle = np.linspace(0, 2 * np.pi, len(radius), endpoint=False) + turn
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


# Classes


def _ellipsoid(rng: Rng) -> Trimesh:
    from trimesh.creation import icosphere

    return icosphere(subdivisions=4).apply_scale([1, rng.uniform(0.75, 1), rng.uniform(0.6, 1)])


def _cuboid(rng: Rng) -> Trimesh:
    return _box([1, rng.uniform(0.6, 1), rng.uniform(0.6, 1.2)])


def _cylinder(rng: Rng) -> Trimesh:
    h = rng.uniform(0.7, 1.3)
    return _lathe((0, -h), (0.6, -h), (0.6, h), (0, h))


def _cone(rng: Rng) -> Trimesh:
    h = rng.uniform(1.3, 2)
    return _lathe((0, 0), (0.75, 0), (0, h))


def _torus(rng: Rng) -> Trimesh:
    from trimesh.creation import torus

    return torus(1, rng.uniform(0.25, 0.42), major_sections=SECTIONS, minor_sections=24)


def _tetrahedron(rng: Rng) -> Trimesh:
    return _lathe((0, 0), (1, 0), (0, rng.uniform(1.2, 1.6)), sections=3)


def _octahedron(rng: Rng) -> Trimesh:
    h = rng.uniform(1, 1.5)
    return _lathe((0, -h), (0.9, 0), (0, h), sections=4)


def _pyramid(rng: Rng) -> Trimesh:
    steps = int(rng.integers(3, 6))
    size = np.linspace(1.6, 0.4, steps)
    height = rng.uniform(0.9, 1.3) / steps
    return _join(*(_box([s, s, height], [0, 0, i * height]) for i, s in enumerate(size)))


def _prism(rng: Rng) -> Trimesh:
    return _upright(_polar(np.ones(3)), rng.uniform(1.2, 2.2))


def _star(rng: Rng) -> Trimesh:
    return _upright(_polar(np.tile([1, rng.uniform(0.36, 0.48)], 5)), rng.uniform(0.25, 0.5))


def _cross(rng: Rng) -> Trimesh:
    w = rng.uniform(0.3, 0.5)
    return _join(_box([2, w, w]), _box([w, 2, w]), _box([w, w, 2]))


def _ring(rng: Rng) -> Trimesh:
    inner, h = rng.uniform(0.78, 0.88), rng.uniform(0.35, 0.6)
    return _lathe((inner, -h), (1, -h), (1, h), (inner, h), (inner, -h))


def _capsule(rng: Rng) -> Trimesh:
    half = rng.uniform(0.9, 1.5)
    path = np.column_stack([np.linspace(-half, half, 8), np.zeros(8), np.zeros(8)])
    ends = [_ball([s * half, 0, 0], 0.55) for s in (-1, 1)]
    return _join(_tube(path, 0.55, closed=False), *ends)


def _bowl(rng: Rng) -> Trimesh:
    angle = np.linspace(0, rng.uniform(1.2, 1.5), 16)
    outer, inner = ([(r * np.sin(a), 1 - r * np.cos(a)) for a in angle] for r in (1.0, 0.9))
    return _lathe(*outer, *inner[::-1])


def _vase(rng: Rng) -> Trimesh:
    belly, neck = rng.uniform(0.6, 0.85), rng.uniform(0.15, 0.25)
    profile = _smooth([0.4, belly, 0.5, neck, 0.4], np.linspace(0, 2.2, 5).tolist())
    return _lathe((0, 0), *profile, (profile[-1][0] - 0.06, 2.2), (neck, 1.2))


def _goblet(rng: Rng) -> Trimesh:
    stem, cup = rng.uniform(0.7, 1), rng.uniform(0.55, 0.7)
    bowl = [(cup * np.sin(a), stem + 0.8 * (1 - np.cos(a))) for a in np.linspace(0.15, 1.5, 12)]
    inside = [(0.88 * r, z + 0.05) for r, z in reversed(bowl)]
    return _lathe((0, 0), (0.6, 0), (0.55, 0.06), (0.08, 0.12), (0.08, stem), *bowl, *inside, (0, stem + 0.1))


def _hourglass(rng: Rng) -> Trimesh:
    waist, h = rng.uniform(0.08, 0.18), rng.uniform(0.9, 1.2)
    return _lathe((0, -h), (0.75, -h), (waist, 0), (0.75, h), (0, h))


def _dumbbell(rng: Rng) -> Trimesh:
    half, left, right = rng.uniform(0.8, 1.1), *rng.uniform(0.45, 0.6, 2)
    return _join(_rod([-half, 0, 0], [half, 0, 0], 0.14), _ball([-half, 0, 0], left), _ball([half, 0, 0], right))


def _mushroom(rng: Rng) -> Trimesh:
    cap, stem = rng.uniform(0.8, 1.05), rng.uniform(0.6, 1)
    dome = [(cap * np.sin(a), stem + 0.75 * np.cos(a)) for a in np.linspace(np.pi / 2, 0, 14)]
    return _lathe((0, 0), (0.35, 0), (0.25, stem), *dome)


def _spring(rng: Rng) -> Trimesh:
    turns = rng.uniform(3, 4.5)
    t = np.linspace(0, 2 * np.pi * turns, 160)
    return _tube(np.column_stack([0.7 * np.cos(t), 0.7 * np.sin(t), t / t[-1] * 2.2]), rng.uniform(0.1, 0.15), False)


def _knot(rng: Rng) -> Trimesh:
    t = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    path = [np.sin(t) + 2 * np.sin(2 * t), -1.2 * np.sin(3 * t), np.cos(t) - 2 * np.cos(2 * t)]
    tube = _tube(np.column_stack([path[0], path[2], path[1]]), rng.uniform(0.35, 0.55), closed=True)
    return tube.apply_transform(_turn(1, 2, 0, 1))


def _stairs(rng: Rng) -> Trimesh:
    n = int(rng.integers(4, 7))
    rise, width = 1.5 / n, rng.uniform(0.8, 1.2)
    return _join(*(_box([1.8 / n, width, (i + 1) * rise], [1.8 * i / n, 0, (i + 1) * rise / 2]) for i in range(n)))


def _table(rng: Rng) -> Trimesh:
    long, wide, high = rng.uniform(1.4, 2), rng.uniform(1, 1.3), rng.uniform(0.8, 1.1)
    legs = [
        _box([0.13, 0.13, high], [x * (long / 2 - 0.12), y * (wide / 2 - 0.12), -high / 2])
        for x, y in itertools.product((-1, 1), (-1, 1))
    ]
    return _join(_box([long, wide, 0.14]), *legs)


def _arch(rng: Rng) -> Trimesh:
    thick, depth, legs = rng.uniform(0.28, 0.4), rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.8)
    stones = []
    for angle in np.linspace(0, np.pi, 17):
        place = _turn(0, 2, np.cos(angle), np.sin(angle))
        place[:3, 3] = [0.9 * np.cos(angle), 0, 0.9 * np.sin(angle)]
        stones.append(_box([thick, depth, 0.24]).apply_transform(place))
    return _join(*stones, *(_box([thick, depth, legs], [0.9 * s, 0, -legs / 2]) for s in (-1, 1)))


def _ladder(rng: Rng) -> Trimesh:
    half, n = rng.uniform(0.4, 0.55), int(rng.integers(4, 7))
    rails = [_box([0.12, 0.16, 2.4], [s * half, 0, 0]) for s in (-1, 1)]
    return _join(*rails, *(_box([2 * half, 0.12, 0.12], [0, 0, z]) for z in np.linspace(-1, 1, n)))


def _gear(rng: Rng) -> Trimesh:
    teeth = int(rng.integers(8, 12))
    disc = _upright(_polar(np.tile([1.0, 1.0, 0.75, 0.75], teeth)), rng.uniform(0.3, 0.5))
    return _join(disc, _rod([0, -0.45, 0], [0, 0.45, 0], rng.uniform(0.2, 0.32)))


def _cage(rng: Rng) -> Trimesh:
    w, high = rng.uniform(0.12, 0.2), rng.uniform(1.2, 1.7)
    size = np.array([1.4, 1.4, high])
    bars = []
    for axis, s, t in itertools.product(range(3), (-0.5, 0.5), (-0.5, 0.5)):
        extent, at = np.full(3, w), np.insert([s, t], axis, 0) * size
        extent[axis] = size[axis] + w
        bars.append(_box(extent.tolist(), at.tolist()))
    return _join(*bars)


def _wheel(rng: Rng) -> Trimesh:
    from trimesh.creation import torus

    spokes, rim = int(rng.integers(5, 9)), rng.uniform(0.1, 0.16)
    tyre = torus(1, rim, major_sections=SECTIONS, minor_sections=16)
    angles = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    rods = [_rod([0, 0, 0], [np.cos(a), 0, np.sin(a)], 0.06) for a in angles]
    return _join(tyre.apply_transform(_turn(1, 2, 0, 1)), *rods, _rod([0, -0.2, 0], [0, 0.2, 0], 0.2))


def _arrow(rng: Rng) -> Trimesh:
    tail, head = rng.uniform(1, 1.5), rng.uniform(0.5, 0.65)
    made = _lathe((0, 0), (0.2, 0), (0.2, tail), (head, tail), (0, tail + 0.9))
    return made.apply_transform(_turn(0, 2, 0, -1))  # it points along x


def _tree(rng: Rng) -> Trimesh:
    n = int(rng.integers(3, 5))
    heights = [0.4 + 1.6 * i / n for i in range(n)]
    cones = [_lathe((0, z), (r, z), (0, z + 0.9)) for z, r in zip(heights, np.linspace(0.85, 0.4, n), strict=True)]
    return _join(_rod([0, 0, 0], [0, 0, 0.6], rng.uniform(0.12, 0.2)), *cones)


SHAPES: dict[str, Callable[[Rng], Trimesh]] = {
    "arch": _arch,
    "arrow": _arrow,
    "bowl": _bowl,
    "box": _cuboid,
    "cage": _cage,
    "capsule": _capsule,
    "cone": _cone,
    "cross": _cross,
    "cylinder": _cylinder,
    "dumbbell": _dumbbell,
    "ellipsoid": _ellipsoid,
    "gear": _gear,
    "goblet": _goblet,
    "hourglass": _hourglass,
    "knot": _knot,
    "ladder": _ladder,
    "mushroom": _mushroom,
    "octahedron": _octahedron,
    "prism": _prism,
    "ring": _ring,
    "spring": _spring,
    "stairs": _stairs,
    "star": _star,
    "step pyramid": _pyramid,
    "table": _table,
    "tetrahedron": _tetrahedron,
    "torus": _torus,
    "tree": _tree,
    "vase": _vase,
    "wheel": _wheel,
}
