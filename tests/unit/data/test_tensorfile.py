import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from filter_sparsity.data import tensorfile
from filter_sparsity.errors import UserError


@pytest.fixture
def arrays():
    draw = np.random.default_rng(0)
    return {
        "z_images": draw.integers(0, 256, (2300, 3, 2), dtype=np.uint8),
        "a_lines": draw.integers(0, 256, 77, dtype=np.uint8),
        "b_labels": draw.integers(-9, 9, 2300),
        "empty": np.zeros((0, 4), np.uint8),
    }


def test_the_file_is_the_one_that_safetensors_would_write(arrays, tmp_path):
    order = np.random.default_rng(1).permutation(2300)
    tensorfile.write(tmp_path / "ours", "kind", {"name": "größer"}, arrays, {"z_images": order, "b_labels": order})
    ordered = {**arrays, "z_images": arrays["z_images"][order], "b_labels": arrays["b_labels"][order]}
    with safe_open(tmp_path / "ours", "numpy") as file:
        assert set(file.metadata()) == {"kind"}
        save_file(ordered, tmp_path / "theirs", file.metadata())
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_what_is_read_is_what_was_written(arrays, tmp_path):
    tensorfile.write(tmp_path / "a", "kind", {"name": [1, "größer"]}, arrays)
    with tensorfile.reading(tmp_path / "a", "kind", "make", "is none") as (back, metadata):
        assert metadata == {"name": [1, "größer"]}
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_any_changed_byte_is_refused(arrays, tmp_path):
    tensorfile.write(tmp_path / "a", "kind", {"name": "x"}, arrays)
    whole = (tmp_path / "a").read_bytes()
    for place in (9, 40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with (
            pytest.raises(UserError, match="delete it and make it again"),
            tensorfile.reading(tmp_path / "a", "kind", "make", "is none"),
        ):
            pass


def test_a_file_of_another_kind_or_without_a_key_is_refused(arrays, tmp_path):
    tensorfile.write(tmp_path / "a", "kind", {}, arrays)
    said = rf"\A{tmp_path}/a is none \([^\n]+\): delete it and make it again\Z"
    for kind, key in (("other", "empty"), ("kind", "absent")):
        with (
            pytest.raises(UserError, match=said),
            tensorfile.reading(tmp_path / "a", kind, "make", "is none") as (back, _),
        ):
            back[key]
