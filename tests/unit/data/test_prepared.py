from pathlib import Path

import numpy as np
import pytest

from filter_sparsity.data import registry
from filter_sparsity.data.prepared import prepare, read, shrink, write
from filter_sparsity.data.sources.base import ArraySource
from filter_sparsity.errors import UserError
from filter_sparsity.paths import renders_of
from filter_sparsity.planning.experiments import read_datasets

ROOT = Path(__file__).parents[3]
DATASETS = read_datasets(ROOT / "config/datasets.yaml")
SHIPPED = [name for name, line in DATASETS.items() if line.access == "ships" and not renders_of(name)]
UNUSED = Path("unused")


@pytest.fixture(scope="module")
def loaded():
    return {name: registry.SOURCES[name](UNUSED) for name in SHIPPED}


@pytest.fixture
def source():
    """Random images of two channels and three classes, some of them equal to each other."""
    draw = np.random.default_rng(0)
    train = draw.integers(0, 256, (30, 2, 4, 4), dtype=np.uint8)
    train[7] = train[3]
    test = draw.integers(0, 256, (9, 2, 4, 4), dtype=np.uint8)
    return ArraySource(("a", "b", "c"), (train, np.arange(30) % 3), (test, np.arange(9) % 3))


def shuffled(source, seed):
    draw = np.random.default_rng(seed)

    def split(images, labels):
        order = draw.permutation(len(images))
        return images[order], labels[order]

    return ArraySource(source.classes, split(*source.train), split(*source.test))


def test_the_order_of_the_source_leaves_no_trace(source, tmp_path):
    files, digests = set(), set()
    for seed in range(6):
        path = tmp_path / str(seed)
        digests.add(write("x", shuffled(source, seed), path))
        files.add(path.read_bytes())
    assert len(digests) == 1
    assert len(files) == 1


def test_the_order_of_the_classes_leaves_no_trace_in_the_digest(source, tmp_path):
    """Labels are hashed by name: the numbers that a source gave the classes do not matter."""
    turned = ArraySource(("c", "b", "a"), (source.train[0], 2 - source.train[1]), (source.test[0], 2 - source.test[1]))
    assert write("x", source, tmp_path / "a") == write("x", turned, tmp_path / "b")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("part", ["pixel", "label"])
def test_one_pixel_or_label_changes_the_digest(source, tmp_path, split, part):
    before = write("x", source, tmp_path / "a")
    images, labels = getattr(source, split)
    if part == "pixel":
        images[4, 1, 2, 3] ^= 1
    else:
        labels[4] = (labels[4] + 1) % 3
    assert write("x", source, tmp_path / "b") != before


def test_moving_an_image_to_the_other_split_changes_the_digest(source, tmp_path):
    (images, labels), (others, theirs) = source.train, source.test
    moved = ArraySource(
        source.classes,
        (images[1:], labels[1:]),
        (np.concatenate([others, images[:1]]), np.concatenate([theirs, labels[:1]])),
    )
    assert write("x", source, tmp_path / "a") != write("x", moved, tmp_path / "b")


def test_what_is_read_is_what_was_written(source, tmp_path):
    digest = write("some", source, tmp_path / "a")
    prepared = read(tmp_path / "a")
    assert (prepared.name, prepared.classes, prepared.digest) == ("some", ("a", "b", "c"), digest)
    for split in ("train", "test"):
        images, labels = prepared.images[split], prepared.labels[split]
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        assert pairs(images, labels) == pairs(*getattr(source, split))


def test_a_shrunk_image_has_the_means_of_squares(source):
    """Half a level is rounded up; the labels and their order stay."""
    images = np.array([[[[0, 1, 10, 10], [1, 0, 10, 13], [7, 7, 255, 255], [7, 8, 255, 254]]]], np.uint8)
    small = shrink(ArraySource(("a",), (images, np.zeros(1, int)), (images, np.zeros(1, int))), 2)
    assert small.train[0].tolist() == [[[[1, 11], [7, 255]]]]
    twos = shrink(source, 2)
    exact = source.train[0].reshape(30, 2, 2, 2, 2, 2).astype(float).mean((3, 5))
    assert np.abs(twos.train[0] - exact).max() <= 0.5
    assert (twos.train[1] == source.train[1]).all()
    with pytest.raises(UserError, match="of side 4 cannot be averaged to side 3"):
        shrink(source, 3)


def test_a_name_with_a_side_is_the_shrunk_data(tmp_path):
    digest = prepare("digits_8", UNUSED, tmp_path / "a")
    write("digits_8", shrink(registry.SOURCES["digits"](UNUSED), 8), tmp_path / "b")
    small = read(tmp_path / "a")
    assert (small.name, small.side, small.digest) == ("digits_8", 8, digest)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    # digits are scikit-learn's scans with each pixel four times: averaging gives them back
    assert (
        np.sort(small.images["test"].ravel())
        == np.sort(registry.SOURCES["digits"](UNUSED).test[0][:, :, ::2, ::2].ravel())
    ).all()


def pairs(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def test_mean_and_deviation_are_numpys_over_the_training_images(source, tmp_path):
    write("x", source, tmp_path / "a")
    prepared = read(tmp_path / "a")
    pixels = source.train[0].astype(np.float64) / 255
    np.testing.assert_allclose(prepared.mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(prepared.deviation, pixels.std((0, 2, 3)), rtol=1e-12)


@pytest.mark.parametrize("name", SHIPPED)
def test_sizes_are_those_of_the_table_of_datasets(loaded, tmp_path, name):
    line = DATASETS[name]
    write(name, loaded[name], tmp_path / name)
    prepared = read(tmp_path / name)
    assert prepared.images["train"].shape == (line.train, line.channels, line.side, line.side)
    assert prepared.images["test"].shape == (line.test, line.channels, line.side, line.side)
    assert len(prepared.classes) == line.classes
    for split in ("train", "test"):
        assert set(prepared.labels[split].tolist()) == set(range(line.classes))
    pixels = loaded[name].train[0].astype(np.float64) / 255
    np.testing.assert_allclose(prepared.mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(prepared.deviation, pixels.std((0, 2, 3)), rtol=1e-10)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_image_is_in_both_splits_or_twice_in_one(loaded, name):
    (train, _), (test, _) = loaded[name].train, loaded[name].test
    seen = [image.tobytes() for images in (train, test) for image in images]
    assert len(seen) == len(set(seen))


@pytest.fixture(scope="module")
def scans():
    """scikit-learn's own scans, in 17 levels of ink, and the digits they show."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target


def test_digits_are_scikit_learns_scans_twice_as_large(loaded, scans):
    source = loaded["digits"]
    ours = {}
    for images, labels in (source.train, source.test):
        assert (images == np.kron(images[:, :, ::2, ::2], np.ones((2, 2), np.uint8))).all()
        ours |= {image[0, ::2, ::2].tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    levels = np.array([round(ink * 255 / 16) for ink in range(17)], np.uint8)
    theirs = {levels[scan.astype(int)].tobytes(): int(label) for scan, label in zip(*scans, strict=True)}
    assert len(theirs) == 1797
    assert ours == theirs


def test_every_fifth_scan_of_a_digit_is_for_testing(loaded, scans):
    for digit in range(10):
        all_of_it = int((scans[1] == digit).sum())
        assert int((loaded["digits"].test[1] == digit).sum()) == all_of_it // 5


@pytest.mark.parametrize("split", ["train", "test"])
def test_pairs_are_two_scans_of_their_own_split(loaded, split):
    """The halves are scans of the same split of `digits`, of the digits that the class names."""
    shown, labels = getattr(loaded["digits"], split)
    digit = {scan[0, ::2, ::2].tobytes(): label for scan, label in zip(shown, labels, strict=True)}
    images, classes = getattr(loaded["digit_pairs"], split)
    for image, number in zip(images[:, 0], classes, strict=True):
        assert digit[image[::2, :8].tobytes()] == number // 10
        assert digit[image[::2, 8:].tobytes()] == number % 10
    assert (images[:, :, ::2] == images[:, :, 1::2]).all()  # each pixel is drawn two high
    assert loaded["digit_pairs"].classes[7] == "07"
    assert set(np.bincount(classes).tolist()) == {30 if split == "train" else 10}


def test_the_prepared_content_is_pinned(loaded, tmp_path):
    """A change of these is a change of the data of every stored result."""
    digests = {name: write(name, loaded[name], tmp_path / name)[:16] for name in ("digits", "digit_pairs")}
    assert digests == {"digits": "6e57dd72e12f22f3", "digit_pairs": "310fbc094b18e6a7"}


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_a_cut_file_is_refused_in_one_line(source, tmp_path, share):
    path = tmp_path / "a"
    write("x", source, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value).startswith(f"{path} is not a whole prepared dataset")
    assert "\n" not in str(error.value)


def test_another_safetensors_file_is_refused_in_one_line(tmp_path):
    from safetensors.numpy import save_file

    for metadata in (None, {"prepared": "{}"}, {"prepared": "["}, {"other": "1"}):
        save_file({"a": np.zeros(3)}, tmp_path / "a", metadata)
        with pytest.raises(UserError, match=r"is not a whole prepared dataset [^\n]+\Z"):
            read(tmp_path / "a")


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match=r"is not there: make it with `filter-sparsity prepare`\Z"):
        read(tmp_path / "absent")


def test_an_unknown_dataset_is_told_with_those_that_are(tmp_path):
    with pytest.raises(UserError) as error:
        prepare("mnist", UNUSED, tmp_path / "a")
    assert "'mnist'" in str(error.value)
    assert "digits, digit_pairs, cifar10, cifar100" in str(error.value)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("wrong", ["floats", "no channels", "labels missing", "nothing"])
def test_a_source_that_gives_something_else_is_refused(source, tmp_path, wrong):
    images, labels = source.train
    train = {
        "floats": (images / 255, labels),
        "no channels": (images[:, 0], labels),
        "labels missing": (images, labels[1:]),
        "nothing": (images[:0], labels[:0]),
    }[wrong]
    with pytest.raises(
        UserError, match=r"\Ax: the train images are not uint8 \(N, channels, height, width\) with a label each\Z"
    ):
        write("x", ArraySource(source.classes, train, source.test), tmp_path / "a")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"classes": 11}, r"digits has 10 classes, not 11: get what is missing"),
        ({"train": 1500}, r"digits has 1,442 train images \(fewest in [0-9]: [0-9]+\), not 1,500: get what"),
        ({"test": 354}, r"digits has 355 test images \(fewest in [0-9]: [0-9]+\), not 354: get what"),
    ],
)
def test_other_numbers_than_declared_are_refused(tmp_path, declared, said):
    numbers = {"classes": 10, "train": 1442, "test": 355}
    with pytest.raises(UserError, match=rf"\A{said}[^\n]+\Z"):
        prepare("digits", UNUSED, tmp_path / "a", declared={**numbers, **declared})
    assert not (tmp_path / "a").exists()
    prepare("digits", UNUSED, tmp_path / "a", declared=numbers)
