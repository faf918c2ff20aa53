"""What is a file of a dataset, and what a system left beside it."""

import pytest

from filter_sparsity.data.sources.listing import files_below, files_in, folders_in, is_litter, text_lines
from filter_sparsity.errors import UserError

LITTER = ["._01.off", ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", "__MACOSX/a.off", "a/@eaDir/01.off"]
LITTER += [".ipynb_checkpoints/01.off", "a/.git/config", "lost+found/x", "$RECYCLE.BIN/x.jpg"]


@pytest.mark.parametrize("path", LITTER)
def test_what_systems_leave_is_litter(path):
    assert is_litter(path)


@pytest.mark.parametrize("path", ["01.off", "n01/images/n01_1.JPEG", "a.b/c..off", "__init__/x", "eaDir/1.jpg"])
def test_other_names_are_data(path):
    assert not is_litter(path)


def test_endings_in_capitals_and_links_are_found(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("b.JPG", "a.jpeg", "c.png", "._b.JPG", "Thumbs.db"):
        (elsewhere / name).write_bytes(b"x")
    folder = tmp_path / "folder"
    (folder / "@eaDir").mkdir(parents=True)
    (folder / "link").symlink_to(elsewhere)
    assert folders_in(folder) == ["link"]
    assert files_in(folder / "link", ".jpg", ".jpeg") == ["a.jpeg", "b.JPG"]
    assert sorted(files_below(folder)) == ["link/a.jpeg", "link/b.JPG", "link/c.png"]


@pytest.mark.parametrize("text", ["a b\nc\n", "\ufeffa b\nc", "a b\r\nc\r\n", "\n\na b\n \nc"])
def test_lists_are_read_whatever_their_marks_and_line_ends(text):
    assert text_lines(text.encode(), "list") == ["a b", "c"]


def test_a_list_that_is_not_utf_8_names_the_byte():
    with pytest.raises(UserError, match=r"\Aa list is not UTF-8: byte 4 is 0xe9: save it as UTF-8\Z"):
        text_lines("abcé".encode("latin-1"), "a list")
