"""Renders: pure functions of (class, index, seed), framed, lit, and the same beneath both kinds of background."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from filter_sparsity.data.renders import compose, render, shapes
from filter_sparsity.data.renders.render import MeshLibrary, Settings, View
from filter_sparsity.errors import UserError

UNUSED = Path("unused")
SETTINGS = Settings(
    classes=("arrow", "torus", "wheel"),
    side=24,
    images=(4, 2),
    samples=4,
    azimuth=(-180, 180),
    elevation=(-15, 45),
    plain=255,
    reduction=(1, 4),
    seed=0,
)


def rendered(settings=SETTINGS, jobs=1):
    return render.render("shapes", shapes.models(UNUSED, settings.classes), settings, jobs)


@pytest.fixture(scope="module")
def foregrounds():
    return rendered()


def same(one, other):
    return all(np.array_equal(one.images[s], other.images[s]) for s in render.SPLITS)


def test_any_number_of_processes_gives_the_same_bytes(foregrounds):
    assert same(rendered(jobs=2), foregrounds)


def test_an_image_knows_nothing_of_the_others(foregrounds):
    """The same image in another order of classes, among more images of its class, and without the other classes."""
    turned = rendered(replace(SETTINGS, classes=("wheel", "torus"), images=(6, 1)))
    np.testing.assert_array_equal(turned.images["train"][:4], foregrounds.images["train"][8:12])
    np.testing.assert_array_equal(turned.images["train"][6:10], foregrounds.images["train"][4:8])
    np.testing.assert_array_equal(turned.images["test"][0], foregrounds.images["test"][4])


def test_another_seed_gives_other_images(foregrounds):
    other = rendered(replace(SETTINGS, seed=1))
    for ours, theirs in zip(foregrounds.images["train"], other.images["train"], strict=True):
        assert (ours != theirs).any()


def test_labels_follow_the_classes(foregrounds):
    assert foregrounds.labels["train"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert foregrounds.labels["test"].tolist() == [0, 0, 1, 1, 2, 2]


def test_views_are_uniform_over_what_the_supplement_says():
    many = replace(SETTINGS, images=(4000, 0))
    shown = list(render.views("shapes", "torus", [str(i) for i in range(10)], many))
    for angles, (low, high) in (
        ([v.azimuth for v in shown], (-180, 180)),
        ([v.elevation for v in shown], (-15, 45)),
    ):
        counts, _ = np.histogram(angles, 10, (low, high))
        assert counts.sum() == 4000
        assert abs(counts - 400).max() < 5 * np.sqrt(400)
    models = np.bincount([int(v.model) for v in shown])
    assert abs(models - 400).max() < 5 * np.sqrt(400)


def shot(mesh, azimuth=0.0, elevation=0.0, side=32):
    view = View("train", 0, "", azimuth, elevation, 0)
    return render.render_model(mesh, "x", [view], side, 16)[0]


def test_every_object_is_whole_in_view_lit_and_has_a_soft_edge():
    for name in shapes.SHAPES:
        image = shot(shapes.mesh(name, "0"), azimuth=30, elevation=20)
        alpha = image[..., 3]
        assert not any(edge.any() for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])), name
        assert (alpha == 255).mean() > 0.02, name
        assert ((alpha > 0) & (alpha < 255)).any(), name
        assert image[alpha == 255][:, :3].mean() > 60, name
        assert (image[..., :1] == image[..., :3]).all(), name  # neutral


def test_the_bounding_sphere_fills_the_view_wherever_it_lies():
    ball = trimesh.creation.icosphere(subdivisions=4, radius=1e-3)
    ball.apply_translation([50, 0, -7])
    alpha = shot(ball, azimuth=77, elevation=33, side=64)[..., 3] > 127
    for axis in (0, 1):
        assert 57 <= alpha.any(axis).sum() <= 61


def test_azimuth_goes_round_and_elevation_up():
    """A box with a tower at its +x end: seen from the front, the side, the back, and from above."""
    box = trimesh.creation.box([2, 0.4, 0.4])
    tower = trimesh.creation.box([0.4, 0.4, 1])
    tower.apply_translation([0.8, 0, 0.5])
    mesh = trimesh.util.concatenate([box, tower])

    def middle(azimuth, elevation=0.0):
        _, columns = np.nonzero(shot(mesh, azimuth, elevation)[:16, :, 3])
        return columns.mean() if len(columns) else 16

    assert abs(middle(0) - 15.5) < 1  # from +x: in the middle
    assert middle(90) < 12  # from +y, x points left
    assert middle(-90) > 20
    above, level = shot(mesh, 90, 45)[..., 3], shot(mesh, 90, 0)[..., 3]
    assert (above > 0).sum() != (level > 0).sum()


def test_plain_and_cluttered_differ_only_outside_the_object(foregrounds):
    plain = compose.compose(foregrounds, None)
    cluttered = compose.compose(foregrounds, shapes.pictures(UNUSED, SETTINGS.side))
    for split in render.SPLITS:
        inside = foregrounds.images[split][..., 3] == 255
        outside = foregrounds.images[split][..., 3] == 0
        (one, labels), (other, theirs) = getattr(plain, split), getattr(cluttered, split)
        np.testing.assert_array_equal(labels, theirs)
        one, other = one.transpose(0, 2, 3, 1), other.transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(one[inside], other[inside])
        np.testing.assert_array_equal(one[inside], foregrounds.images[split][inside][:, :3])
        assert (one[outside] == 255).all()
        assert (other[outside] != 255).mean() > 0.9
        assert (other[outside] == other[outside][:, :1]).all()  # gray


def test_backgrounds_are_crops_of_their_own_split(foregrounds):
    """With pictures of one level each, what is behind says which picture it was cropped from."""
    pictures = {"train": [np.full((60, 50), 10, np.uint8)], "test": [np.full((24, 90), 200, np.uint8)]}
    for split, level in (("train", 10), ("test", 200)):
        assert (compose.backgrounds(foregrounds, pictures, split) == level).all()


def test_a_crop_is_the_mean_of_blocks_of_the_picture():
    picture = np.arange(40 * 50, dtype=np.uint32).reshape(40, 50).astype(np.uint8)
    for k in (1, 3):
        ours = compose.crop(picture, 10, (k, k), np.random.default_rng(k))
        windows = np.lib.stride_tricks.sliding_window_view(picture, (10 * k, 10 * k))
        wanted = (np.floor(w.reshape(10, k, 10, k).mean(axis=(1, 3)) + 0.5) for row in windows for w in row)
        assert any(np.array_equal(ours, w) for w in wanted)


def test_over_rounds_to_the_nearest_level():
    colour, alpha, behind = np.meshgrid(np.arange(0, 256, 5), np.arange(256), np.arange(0, 256, 5), indexing="ij")
    foreground = np.stack([colour, colour, colour, alpha], -1).astype(np.uint8)
    ours = compose.blend(foreground, behind[..., None].astype(np.uint8))
    exact = (alpha * colour + (255 - alpha) * behind) / 255
    assert abs(ours[..., 0] - exact).max() <= 0.5


def test_what_is_read_is_what_was_written(foregrounds, tmp_path):
    path = tmp_path / "renders" / "shapes.safetensors"
    render.write(foregrounds, path)
    back = render.read(path)
    assert same(back, foregrounds)
    assert (back.family, back.settings) == ("shapes", SETTINGS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"does not hold whole renders [^\n]+\Z"):
        render.read(path)
    with pytest.raises(UserError, match="make it with `filter-sparsity render`"):
        render.read(tmp_path / "absent")


def broken(kind):
    box = trimesh.creation.box()
    if kind == "empty":
        return trimesh.Trimesh()
    vertices, faces = np.array(box.vertices), np.array(box.faces)
    if kind == "a point":
        vertices[:] = 3
    elif kind == "a line":
        vertices[:, 1:] = 0
    elif kind == "not finite":
        vertices[2] = np.nan
    elif kind == "too large":
        vertices *= 1e200
    return trimesh.Trimesh(vertices, faces, process=False)


KINDS = ["empty", "a point", "a line", "not finite", "too large"]


@pytest.mark.parametrize(("kind", "jobs"), [*((kind, 1) for kind in KINDS), ("a line", 2)])
def test_a_mesh_that_shows_nothing_is_refused_in_one_line(kind, jobs):
    models = MeshLibrary({name: [kind] for name in SETTINGS.classes}, load_broken)
    with pytest.raises(UserError, match=rf"\A\w+, model {kind}: [^\n]+\Z"):
        render.render("x", models, SETTINGS, jobs)


def load_broken(name, model):
    return broken(model)


def test_stray_vertices_do_not_change_the_framing():
    box = trimesh.creation.box()
    stray = trimesh.Trimesh(np.vstack([box.vertices, [[1e6, 0, 0]]]), box.faces, process=False)
    np.testing.assert_array_equal(shot(stray), shot(box))


def test_shapes_differ_within_their_class_and_stay_the_same():
    for name in shapes.SHAPES:
        one, other = shapes.mesh(name, "0"), shapes.mesh(name, "1")
        np.testing.assert_array_equal(one.vertices, shapes.mesh(name, "0").vertices)
        assert one.vertices.shape != other.vertices.shape or not np.allclose(one.vertices, other.vertices)


def test_an_unknown_shape_is_told_with_those_that_are():
    with pytest.raises(UserError, match=r"'heart'.*arch, arrow, bowl"):
        shapes.models(UNUSED, ["heart"])


def test_pictures_of_the_two_splits_show_other_regions():
    from sklearn.datasets import load_sample_images

    pictures = shapes.pictures(UNUSED, 32)
    for whole, train, test in zip(load_sample_images().images, pictures["train"], pictures["test"], strict=True):
        joined = np.hstack([train, test])
        luma = whole @ [0.299, 0.587, 0.114]
        assert joined.shape == luma.shape
        assert abs(joined - luma).max() <= 1
