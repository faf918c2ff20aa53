"""From meshes to foregrounds: Mitsuba renders of the classes of a family, with alpha. Torch-free.

An image is a pure function of (family, class, split, index, seed): it draws its model and its view from a generator of
its own, so that any number of processes and any order give the same bytes. `compose` adds the background later. Figure
4 of the supplement and the paragraph above it say how ObjectNet3D was rendered.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UserError
from ...progress import Bar
from .. import tensorfile
from ..sources.base import SPLITS

if TYPE_CHECKING:
    from trimesh import Trimesh

# Mitsuba's LLVM variants want a system library, and round as the processor has it; this one runs everywhere.
VARIANT = "scalar_rgb"
FIELD_OF_VIEW = 30.0  # degrees
MARGIN = 1.08  # of the bounding sphere in view
REFLECTANCE = 0.55  # of the one gray, diffuse material
SKY = 0.25  # radiance from everywhere
LAMPS = (((-0.5, -0.8, -1.0), 2.4), ((0.9, 0.5, -0.35), 0.9))  # direction and irradiance; they stand still


@dataclass(frozen=True)
class MeshLibrary:
    """The meshes of a family: the names of each class's models, and how one is loaded (in any process)."""

    names: dict[str, list[str]]
    load: Callable[[str, str], Trimesh]


@dataclass(frozen=True)
class Settings:
    """Settings of a family's renders: `renders` in config/recipe.yaml, which has their sources."""

    classes: tuple[str, ...]
    side: int  # pixels
    images: tuple[int, int]  # of a class, to train and to test
    samples: int  # rays of a pixel
    azimuth: tuple[float, float]  # degrees, uniform
    elevation: tuple[float, float]  # degrees, uniform
    plain: int  # level of the plain background
    reduction: tuple[int, int]  # a background's crop is so many times the image's side, drawn uniformly
    seed: int

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Settings:
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
            return cls(**plain)
        except (TypeError, AttributeError):
            raise UserError("these are not the settings of a family of renders: take them from a plan") from None


@dataclass(frozen=True)
class Foregrounds:
    """Straight (not premultiplied) colour and alpha: uint8 (N, side, side, 4), labels int64 (N,), by split.

    An object that fills a pixel has alpha 255 there. Images are in the order of (class, index).
    """

    family: str
    settings: Settings
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


@dataclass(frozen=True)
class View:
    """One image: its place in its split, its model, its camera angles (degrees)."""

    split: str
    place: int
    model: str
    azimuth: float
    elevation: float
    seed: int  # of the rays


def generator(*key: str | int) -> np.random.Generator:
    """A random generator for a key such as (family, class, split, index, seed)."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(np.frombuffer(digest, "<u4").tolist()))


def views(family: str, name: str, models: Sequence[str], settings: Settings) -> Iterator[View]:
    """All images of a class, each from its own generator."""
    label = settings.classes.index(name)
    for split, count in zip(SPLITS, settings.images, strict=True):
        for index in range(count):
            rng = generator(family, name, split, index, settings.seed)
            yield View(
                split=split,
                place=label * count + index,
                model=models[int(rng.integers(len(models)))],
                azimuth=float(rng.uniform(*settings.azimuth)),
                elevation=float(rng.uniform(*settings.elevation)),
                seed=int(rng.integers(2**31)),
            )


def mitsuba() -> Any:
    """The renderer, in the variant used here, and on one thread: the processes are the parallel part."""
    import drjit
    import mitsuba as mi

    if mi.variant() != VARIANT:
        mi.set_variant(VARIANT)
        mi.set_log_level(mi.LogLevel.Error)
        drjit.set_thread_count(1)
    return mi


def normalised(mesh: Trimesh, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices float32 (V, 3) moved and scaled into the unit sphere around their box's middle, and faces uint32 (F, 3).

    Raises UserError for a mesh that shows nothing: no faces, no area, vertices that are no numbers.
    """
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces)
    if len(faces) == 0:
        raise UserError(f"{where}: the mesh has no faces")
    used, number = np.unique(faces, return_inverse=True)  # stray vertices are not in view
    vertices, faces = vertices[used], number.reshape(faces.shape)
    if not np.isfinite(vertices).all():
        raise UserError(f"{where}: a vertex is not a finite number")
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        vertices = vertices - (low / 2 + high / 2)
        radius = np.sqrt((vertices**2).sum(axis=1).max())
    if not 0 < radius < math.inf:
        raise UserError(f"{where}: the mesh has no size that can be drawn")
    vertices = vertices / radius
    edges = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    if np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1).sum() < 1e-6:
        raise UserError(f"{where}: the mesh is degenerate: its faces have no area")
    return vertices.astype(np.float32), faces.astype(np.uint32)


def make_scene(vertices: np.ndarray, faces: np.ndarray, side: int) -> Any:
    """A Mitsuba scene of one mesh in the neutral material and light; facets are flat, and seen from both sides."""
    mi = mitsuba()
    properties = mi.Properties()
    gray = {"type": "diffuse", "reflectance": {"type": "rgb", "value": REFLECTANCE}}
    properties["bsdf"] = mi.load_dict({"type": "twosided", "material": gray})
    properties["face_normals"] = True
    mesh = mi.Mesh("object", len(vertices), len(faces), props=properties)
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = vertices.ravel()
    parameters["faces"] = faces.ravel()
    parameters.update()
    return mi.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 2, "hide_emitters": True, "block_size": side},
            "object": mesh,
            # Of 16 samples, 8 go to the sky and 4 to each lamp: whole numbers make no grain.
            "sky": {
                "type": "constant",
                "radiance": {"type": "rgb", "value": SKY},
                "sampling_weight": float(len(LAMPS)),
            },
            **{
                f"lamp{number}": {
                    "type": "directional",
                    "direction": direction,
                    "irradiance": {"type": "rgb", "value": irradiance},
                }
                for number, (direction, irradiance) in enumerate(LAMPS)
            },
        }
    )


def make_sensor(azimuth: float, elevation: float, side: int, samples: int) -> Any:
    """A camera at the given angles (degrees) with the whole unit sphere in view."""
    mi = mitsuba()
    distance = MARGIN / math.sin(math.radians(FIELD_OF_VIEW / 2))
    a, e = math.radians(azimuth), math.radians(elevation)
    origin = [distance * math.cos(e) * math.cos(a), distance * math.cos(e) * math.sin(a), distance * math.sin(e)]
    return mi.load_dict(
        {
            "type": "perspective",
            "fov": FIELD_OF_VIEW,
            "to_world": mi.ScalarTransform4f().look_at(origin=origin, target=[0, 0, 0], up=[0, 0, 1]),
            "film": {
                "type": "hdrfilm",
                "width": side,
                "height": side,
                "pixel_format": "rgba",
                "component_format": "float32",
                "rfilter": {"type": "box"},  # a pixel's rays are its own, so blocks have no order
            },
            "sampler": {"type": "multijitter", "sample_count": samples},
        }
    )


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Mitsuba's linear, premultiplied RGBA as straight sRGB and alpha, uint8 of the same shape."""
    alpha = image[..., 3:].astype(np.float64).clip(0, 1)
    linear = np.divide(image[..., :3], alpha, out=np.zeros((*alpha.shape[:-1], 3)), where=alpha > 0).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * np.concatenate([encoded, alpha], axis=-1)).astype(np.uint8)


def render_model(mesh: Trimesh, where: str, shown: Sequence[View], side: int, samples: int) -> np.ndarray:
    """Views of one mesh: uint8 (views, side, side, 4), in their order."""
    mi = mitsuba()
    scene = make_scene(*normalised(mesh, where), side)
    sensors = (make_sensor(view.azimuth, view.elevation, side, samples) for view in shown)
    linear = [
        np.array(mi.render(scene, sensor=sensor, seed=view.seed, spp=samples))
        for sensor, view in zip(sensors, shown, strict=True)
    ]
    return as_bytes(np.stack(linear))


def _job(load: Callable[[str, str], Trimesh], name: str, shown: list[View], settings: Settings) -> np.ndarray:
    mesh, where = load(name, shown[0].model), f"{name}, model {shown[0].model}"
    return render_model(mesh, where, shown, settings.side, settings.samples)


def render(family: str, models: MeshLibrary, settings: Settings, jobs: int = 1) -> Foregrounds:
    """All foregrounds of a family. The number of processes changes only the time.

    Raises UserError for a mesh that cannot be read or shows nothing.
    """
    work: list[tuple[str, list[View]]] = []
    for name in settings.classes:
        by_model = defaultdict(list)
        for view in views(family, name, models.names[name], settings):
            by_model[view.model].append(view)
        work += [(name, shown) for shown in by_model.values()]
    counts = {s: len(settings.classes) * n for s, n in zip(SPLITS, settings.images, strict=True)}
    images = {s: np.zeros((n, settings.side, settings.side, 4), np.uint8) for s, n in counts.items()}
    labels = {s: np.arange(n) // max(1, n // len(settings.classes)) for s, n in counts.items()}
    with Bar(f"render {family}", sum(counts.values()), "images") as progress:
        for shown, rendered in _results(models.load, work, settings, jobs):
            for view, image in zip(shown, rendered, strict=True):
                images[view.split][view.place] = image
            progress.update(len(shown))
    return Foregrounds(family, settings, images, labels)


def _results(
    load: Callable[[str, str], Trimesh], work: list[tuple[str, list[View]]], settings: Settings, jobs: int
) -> Iterable[tuple[list[View], np.ndarray]]:
    if jobs == 1:
        for name, shown in work:
            yield shown, _job(load, name, shown, settings)
        return
    # Not forked: Mitsuba has threads. Each process loads it once.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=mitsuba) as pool:
        futures = {pool.submit(_job, load, name, shown, settings): shown for name, shown in work}
        try:
            for future in as_completed(futures):
                yield futures.pop(future), future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write(foregrounds: Foregrounds, out: Path) -> None:
    """Store foregrounds, whole or not at all."""
    arrays = {f"{split}_images": images for split, images in foregrounds.images.items()}
    arrays |= {f"{split}_labels": labels.astype(np.int64) for split, labels in foregrounds.labels.items()}
    metadata = {"family": foregrounds.family, "settings": asdict(foregrounds.settings)}
    tensorfile.write(out, "rendered", metadata, arrays)


def read(path: Path) -> Foregrounds:
    """Stored foregrounds. Raises UserError if the file is missing or is not whole."""
    with tensorfile.reading(path, "rendered", "render", "does not hold whole renders") as (arrays, metadata):
        return Foregrounds(
            family=metadata["family"],
            settings=Settings.from_dict(metadata["settings"]),
            images={split: arrays[f"{split}_images"] for split in SPLITS},
            labels={split: arrays[f"{split}_labels"] for split in SPLITS},
        )
