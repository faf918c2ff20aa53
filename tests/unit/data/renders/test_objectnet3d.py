"""ObjectNet3D's CAD models and PeopleArt's pictures in their own layout, whole and broken, in miniature."""

import zipfile

import numpy as np
import pytest
import trimesh

from filter_sparsity.data.prepared import prepare, read
from filter_sparsity.data.renders import compose, objectnet3d, render
from filter_sparsity.data.renders.render import Settings
from filter_sparsity.errors import UserError
from helpers.decompression_bomb import bomb
from helpers.model_files import jpeg, off

SETTINGS = Settings(
    classes=("bed", "tub"),
    side=16,
    images=(3, 2),
    samples=4,
    azimuth=(-180, 180),
    elevation=(-15, 45),
    plain=255,
    reduction=(1, 2),
    seed=0,
)


BOX = off(trimesh.creation.box([2, 1, 0.5]))


def cads(root, inside="objectnet3d/CAD/off"):
    folder = root / inside
    for name in SETTINGS.classes:
        (folder / name).mkdir(parents=True)
        (folder / name / "01.off").write_text(BOX)
        (folder / name / "02.off").write_text(off(trimesh.creation.cylinder(0.4, 1.5)))
    return folder


def cubism(root, inside="PeopleArt/JPEGImages/Cubism", count=6):
    folder = root / inside
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    return folder


@pytest.fixture
def root(tmp_path):
    cads(tmp_path)
    cubism(tmp_path)
    return tmp_path


def rendered(root):
    return render.render("objectnet3d", objectnet3d.models(root, SETTINGS.classes), SETTINGS)


def test_from_the_archives_to_both_prepared_datasets(root):
    render.write(rendered(root), root / "renders")
    for name in ("objectnet3d_plain", "objectnet3d_cluttered"):
        prepare(name, root, root / name, rendered=root / "renders")
        prepared = read(root / name)
        assert prepared.classes == SETTINGS.classes
        assert prepared.images["train"].shape == (6, 3, 16, 16)
        assert prepared.images["test"].shape == (4, 3, 16, 16)


def test_where_the_models_lie_does_not_change_a_byte(root, tmp_path_factory):
    ours = rendered(root)
    for inside in ("CAD/off", "data/ObjectNet3D_cads/CAD/off"):
        other = tmp_path_factory.mktemp("elsewhere")
        cads(other, inside)
        np.testing.assert_array_equal(rendered(other).images["train"], ours.images["train"])


def test_an_off_file_is_read_as_it_is(root):
    mesh = objectnet3d.read_off(root / "objectnet3d/CAD/off/bed/01.off")
    assert mesh.extents.tolist() == [2, 1, 0.5]
    assert mesh.volume == pytest.approx(1)


HEAD, COUNTS, *LINES = BOX.splitlines()
VERTICES, FACES = LINES[:8], "\n".join(LINES[8:])
NORMALS = [f"{vertex} 0 0 1" for vertex in VERTICES]


def off_file(kind, *vertices):
    return "\n".join([kind, COUNTS, *vertices, FACES]) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        off_file("NOFF", *NORMALS),
        off_file("COFF", *(f"{vertex} 255 0 0 255" for vertex in VERTICES)),
        off_file("CNOFF", *(f"{normal} 0.5 0.5 0.5 1" for normal in NORMALS)),
        off_file("OFF", " ".join(VERTICES)),
        off_file("OFF", *(f"{one}  {two}" for one, two in zip(VERTICES[::2], VERTICES[1::2], strict=True))),
        off_file("NOFF", " ".join(NORMALS[:3]), " ".join(NORMALS[3:])),
        off_file("OFF", *" ".join(VERTICES).split()),
        BOX.replace("OFF\n", "OFF ", 1),
        BOX.replace("OFF\n", "OFF", 1),  # as in ModelNet's files
        BOX.replace("OFF\n", "# made by hand\n\nOFF\n", 1) + "\n\n",
        BOX.replace("\n", "\r\n"),
    ],
)
def test_the_ways_in_which_off_files_are_written(tmp_path, text):
    (tmp_path / "a.off").write_bytes(text.encode())
    assert objectnet3d.read_off(tmp_path / "a.off").extents.tolist() == [2, 1, 0.5]


def test_a_face_of_many_corners_is_cut_into_triangles(tmp_path):
    (tmp_path / "a.off").write_text("OFF\n5 1 0\n0 0 0\n2 0 0\n2 1 0\n1 2 0\n0 1 0\n5 0 1 2 3 4\n")
    assert objectnet3d.read_off(tmp_path / "a.off").area == pytest.approx(3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not an OFF file"),
        ("PLY\n8 12 0\n", "is not an OFF file"),
        ("OFF\n8\n", "is not an OFF file"),
        ("OFF\n-8 12 0\n", "is not an OFF file"),
        (BOX.replace("OFF", "4OFF", 1), "is not an OFF file"),  # of four coordinates
        (off_file("OFF", " ".join(VERTICES[:7])), "counts 8 vertices and 12 faces, but 13 lines follow"),
        (off_file("COFF", " ".join(VERTICES)), "but 13 lines follow"),
        (BOX.replace("8 12 0", "9 12 0"), "counts 9 vertices and 12 faces, but 20 lines follow"),
        (BOX.replace("8 12 0", "8 13 0"), "counts 8 vertices and 13 faces, but 20 lines follow"),
        (BOX.replace("8 12 0", "999999999 999999999 0"), "but 20 lines follow"),
        (BOX.replace("8 12 0", "7 13 0"), "is not a whole OFF file"),
        (BOX[: len(BOX) * 2 // 3], "lines follow"),
        (BOX.replace("\n3 ", "\n4 ", 1), "is not a whole OFF file"),
        (BOX.replace("\n3 ", "\n2 ", 1), "is not a whole OFF file"),
        (BOX.replace("\n3 ", "\nx ", 1), "is not a whole OFF file"),
        (BOX.replace("\n3 0 ", "\n3 8 ").replace("\n3 1 ", "\n3 99 "), "is not a whole OFF file"),
        (BOX.replace("\n3 1 ", "\n3 -1 "), "is not a whole OFF file"),
        (BOX.replace("1.000000", "one", 1), "is not a whole OFF file"),
        (BOX.replace("1.000000", "nan", 1), "a vertex is not a finite number"),
        (BOX.replace("1.000000", "1e999", 1), "a vertex is not a finite number"),
        ("OFF\n0 0 0\n", "the mesh has no faces"),
        ("OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "the mesh has no faces"),
        ("OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n", "the mesh has no size"),
        ("OFF\n3 1 0\n0 0 0\n1 1 1\n2 2 2\n3 0 1 2\n", "the mesh is degenerate"),
        ("\0\xff" * 500, "is not an OFF file"),
        (BOX.replace("8 12 0", f"{10**12} {10**12} 0"), "is not an OFF file"),
        (BOX.replace("\n3 ", f"\n{10**12} ", 1), "is not a whole OFF file"),
    ],
)
def test_a_broken_model_is_refused_in_one_line(root, text, said):
    (root / "objectnet3d/CAD/off/tub/02.off").write_bytes(text.encode("latin-1"))
    (root / "objectnet3d/CAD/off/tub/01.off").unlink()
    with pytest.raises(UserError) as error:
        rendered(root)
    assert said in str(error.value)
    assert "02.off" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["everything", "a class", "its models"])
def test_missing_models_are_told_with_where_and_how(root, missing):
    folder = root / "objectnet3d/CAD/off"
    for model in (folder / "tub").iterdir():
        model.unlink()
    if missing != "its models":
        (folder / "tub").rmdir()
    if missing == "everything":
        folder.rename(root / "elsewhere")
    with pytest.raises(UserError) as error:
        objectnet3d.models(root, SETTINGS.classes)
    assert str(root) in str(error.value)
    assert "ObjectNet3D_cads.zip" in str(error.value)
    assert ("'tub'" in str(error.value)) == (missing != "everything")
    assert "\n" not in str(error.value)


def test_a_picture_in_a_zip_that_says_it_is_huge_is_not_read(root, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(objectnet3d, "LARGEST", 50_000)
    other = tmp_path_factory.mktemp("zip")
    with zipfile.ZipFile(other / "PeopleArt.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("PeopleArt/JPEGImages/Cubism/a.jpg", bytes(50_001))
    with pytest.raises(UserError, match=r"a\.jpg has 50,001 bytes: that is no picture\Z"):
        objectnet3d.pictures(other, 16)


def pack(folder, archive, inside="PeopleArt-master/JPEGImages/Cubism"):
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"{inside}/{path.name}")
        file.writestr("PeopleArt-master/JPEGImages/Photo/1.jpg", jpeg(99))
        file.writestr("../outside.jpg", jpeg(98))


def test_a_zip_gives_the_same_pictures_as_the_folder(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("zip")
    pack(root / "PeopleArt/JPEGImages/Cubism", other / "PeopleArt-master.zip")
    ours, theirs = objectnet3d.pictures(root, 16), objectnet3d.pictures(other, 16)
    for split, count in (("train", 5), ("test", 1)):
        assert len(ours[split]) == count
        for one, two in zip(ours[split], theirs[split], strict=True):
            np.testing.assert_array_equal(one, two)
    assert [path.name for path in other.iterdir()] == ["PeopleArt-master.zip"]  # nothing was unpacked


def test_pictures_are_gray_and_of_their_own_size(root):
    (root / "PeopleArt/JPEGImages/Cubism/0.jpg").write_bytes(jpeg(0, (50, 20)))
    first = objectnet3d.pictures(root, 16)["train"][0]
    assert (first.dtype, first.shape) == (np.uint8, (20, 50))


@pytest.mark.parametrize("kind", ["none", "one", "cut", "text", "small", "huge", "bad zip"])
def test_broken_backgrounds_are_refused_in_one_line(root, kind):
    folder = root / "PeopleArt/JPEGImages/Cubism"
    said = "backgrounds are missing"
    if kind in ("none", "one", "bad zip"):
        for path in sorted(folder.iterdir())[kind == "one" :]:
            path.unlink()
    if kind == "bad zip":
        folder.rmdir()
        (root / "PeopleArt-master.zip").write_bytes(b"PK\x03\x04 not a zip")
        said = "is not a whole zip"
    elif kind in ("cut", "text", "small", "huge"):
        whole = (folder / "3.jpg").read_bytes()
        broken = {"cut": whole[: len(whole) // 2], "text": b"<html>", "small": jpeg(0, (40, 15)), "huge": bomb(60_000)}
        (folder / "3.jpg").write_bytes(broken[kind])
        said = "3.jpg is 40x15 pixels" if kind == "small" else "3.jpg cannot be read as an image"
    with pytest.raises(UserError) as error:
        objectnet3d.pictures(root, 16)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_no_file_is_left_of_a_failed_preparation(root):
    out = root / "out" / "a"
    render.write(rendered(root), root / "renders")
    for path in (root / "PeopleArt/JPEGImages/Cubism").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="put PeopleArt there"):
        prepare("objectnet3d_cluttered", root, out, rendered=root / "renders")
    with pytest.raises(UserError, match="give what `filter-sparsity render` made as --rendered"):
        prepare("objectnet3d_plain", root, out)
    with pytest.raises(UserError, match="holds renders of objectnet3d: shapes_plain needs those of shapes"):
        compose.load("shapes_plain", root, root / "renders")
    assert not out.parent.exists()


def test_litter_and_endings_in_capitals_change_nothing(root, tmp_path_factory):
    models = objectnet3d.models(root, SETTINGS.classes).names
    pictures = objectnet3d.pictures(root, 16)["train"]
    folder, cubist = root / "objectnet3d/CAD/off/bed", root / "PeopleArt/JPEGImages/Cubism"
    (root / "__MACOSX/CAD/off/bed").mkdir(parents=True)
    for path in (folder / "._01.off", root / "__MACOSX/CAD/off/bed/01.off", cubist / "._0.jpg", cubist / "Thumbs.db"):
        path.write_bytes(b"litter")
    assert objectnet3d.models(root, SETTINGS.classes).names == models
    (folder / "01.off").rename(folder / "01.OFF")
    assert [name.casefold() for name in objectnet3d.models(root, SETTINGS.classes).names["bed"]] == [
        name.casefold() for name in models["bed"]
    ]
    (cubist / "1.jpg").rename(cubist / "1.JPEG")
    other = tmp_path_factory.mktemp("zip")
    pack(cubist, other / "PeopleArt-master.zip")
    with zipfile.ZipFile(other / "PeopleArt-master.zip", "a") as file:
        file.writestr("__MACOSX/PeopleArt-master/JPEGImages/Cubism/._5.jpg", b"litter")
    for place in (root, other):
        found = objectnet3d.pictures(place, 16)["train"]
        assert len(found) == len(pictures)
        assert all((one == two).all() for one, two in zip(found, pictures, strict=True))
