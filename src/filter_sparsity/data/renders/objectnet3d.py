"""ObjectNet3D's CAD models and PeopleArt's Cubism pictures, as people hold them. Torch-free.

Below `data_root`: `CAD/off/<class>/*.off`, at most two folders down (`objectnet3d/CAD/off` say), from the official
ObjectNet3D_cads.zip; and `JPEGImages/Cubism/*.jpg` of PeopleArt, likewise, or that repository's zip as it is.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ...errors import UserError
from ..sources.archives import BAD_ZIP
from ..sources.images import naming_image
from ..sources.listing import files_in, has_ending, is_litter
from ..sources.originals import CAD, CUBISM, JPEG, cad_folder, cubism_folder, peopleart_zip
from .render import MeshLibrary
from .shapes import gray

if TYPE_CHECKING:
    from trimesh import Trimesh

LARGEST = 1 << 27  # bytes of a picture in a zip
GET_CAD = "unzip ObjectNet3D_cads.zip of https://cvgl.stanford.edu/projects/objectnet3d/ there"
GET_CUBISM = "put PeopleArt there (https://github.com/BathVisArtData/PeopleArt), its folder or its zip"


def models(root: Path, classes: Sequence[str]) -> MeshLibrary:
    """The CAD models of some classes (the supplement's Figure 4 has 30), by their paths; each is read when it is drawn.

    Raises UserError if there are no models below `root`, or none of a class.
    """
    folder = cad_folder(root)
    if folder is None:
        raise UserError(
            f"ObjectNet3D's CAD models are missing: no {CAD}/<class>/*.off in {root} or two folders down: {GET_CAD}"
        )
    names = {}
    for name in classes:
        models = files_in(folder / name, ".off") if (folder / name).is_dir() else []
        names[name] = [str(folder / name / model) for model in models]
        if not names[name]:
            raise UserError(f"the class {name!r} has no CAD model: no *.off in {folder / name}: {GET_CAD}")
    return MeshLibrary(names, _load)


def _load(name: str, model: str) -> Trimesh:
    return read_off(Path(model))


def read_off(path: Path) -> Trimesh:
    """The mesh of an OFF file, with colours (COFF), normals (NOFF) or without; several vertices may share a line.

    Raises UserError if it is not one, or its counts are not those of its lines.
    """
    import trimesh

    try:
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    lines = [stripped for line in text.splitlines() if (stripped := line.partition("#")[0].strip())]
    header = re.match(r"([CN]{0,2})OFF\s*?(\n?)\s*(\d{1,9})\s+(\d{1,9})\b", "\n".join(lines[:2]))
    if not header:
        raise UserError(f"{path} is not an OFF file: it does not start with OFF and its counts")
    kind, (vertices, faces) = header[1], (int(header[3]), int(header[4]))
    following = lines[2 if header[2] else 1 :]
    body = following if len(following) == vertices + faces else _one_vertex_a_line(following, kind, vertices)
    if len(body) != vertices + faces:
        raise UserError(
            f"{path}: its header counts {vertices} vertices and {faces} faces, but {len(following)} lines follow"
        )
    try:
        for line in body[vertices:]:
            corners = line.split()
            if not 3 <= int(corners[0]) < len(corners):
                raise ValueError(f"a face is {line[:40]!r}")
        kwargs = trimesh.exchange.off.load_off(io.StringIO("\n".join(["OFF", f"{vertices} {faces} 0", *body])))
        return trimesh.Trimesh(**kwargs, process=False)
    except Exception as error:  # whatever a file from outside makes of the parser
        raise UserError(f"{path} is not a whole OFF file: {' '.join(str(error).split())[:200]}") from None


def _one_vertex_a_line(lines: Sequence[str], kind: str, vertices: int) -> list[str]:
    """The lines of an OFF file with one vertex each before those of the faces, where several vertices share a line.

    A vertex has 3 numbers, with its normal 6; how many its colour has, only the end of a line says.
    """
    width = {"": 3, "N": 6}.get(kind)
    numbers: list[str] = []
    used = 0
    while width and used < len(lines) and len(numbers) < vertices * width:
        numbers += lines[used].split()
        used += 1
    if width is None or len(numbers) != vertices * width:
        return [*lines]
    return [" ".join(numbers[i : i + 3]) for i in range(0, len(numbers), width)] + [*lines[used:]]


def pictures(root: Path, side: int) -> dict[str, list[np.ndarray]]:
    """The Cubism pictures of PeopleArt in gray, uint8 (height, width), by split: every fifth is for testing (assumed).

    Figure 4 of the supplement has them as backgrounds. Raises UserError if there are none, or one cannot be read or has
    fewer than `side` pixels a side.
    """
    decoded = [_decode(name, file, side) for name, file in _cubism(root)]
    if len(decoded) < 2:
        raise UserError(
            f"PeopleArt's backgrounds are missing: {len(decoded)} of {CUBISM}/*.jpg in {root}, two folders down, or in "
            f"a PeopleArt zip: {GET_CUBISM}"
        )
    test = {*range(4, len(decoded), 5)} or {len(decoded) - 1}
    return {
        "train": [picture for i, picture in enumerate(decoded) if i not in test],
        "test": [picture for i, picture in enumerate(decoded) if i in test],
    }


def _cubism(root: Path) -> Iterator[tuple[str, Path | io.BytesIO]]:
    """The pictures in the order of their names, each with what to read it from: a folder's file, or a zip's."""
    folder = cubism_folder(root)
    if folder is not None:
        yield from ((name, folder / name) for name in files_in(folder, *JPEG))
        return
    archive = peopleart_zip(root)
    if archive is None:
        return
    try:
        with zipfile.ZipFile(archive) as file:  # read, never unpacked: no member can point outside
            inside = (n for n in file.namelist() if f"/{n}".rpartition("/")[0].endswith(f"/{CUBISM}"))
            members = {n.rpartition("/")[2]: n for n in inside if has_ending(n, JPEG) and not is_litter(n)}
            for name, member in sorted(members.items()):
                if (size := file.getinfo(member).file_size) > LARGEST:
                    raise UserError(f"{archive}: {member} has {size:,} bytes: that is no picture")
                yield name, io.BytesIO(file.read(member))
    except BAD_ZIP as error:
        raise UserError(f"{archive} is not a whole zip ({error}): get it again") from None


def _decode(name: str, file: Path | io.BytesIO, side: int) -> np.ndarray:
    with naming_image(f"{CUBISM}/{name}"), Image.open(file) as image:
        picture = gray(np.asarray(image.convert("RGB")))
    if min(picture.shape) < side:
        height, width = picture.shape
        raise UserError(f"{CUBISM}/{name} is {width}x{height} pixels: a background needs {side}x{side}")
    return picture
