"""Downloads, from a server of our own."""

from __future__ import annotations

import hashlib

import pytest

from filter_sparsity.data.sources.download import ATTEMPTS, download
from filter_sparsity.errors import UserError
from helpers.serve import Site, serving

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


def test_a_file_comes_whole(tmp_path):
    with serving(Site(CONTENT)) as site:
        download(site.url, tmp_path / "new" / "a", MD5, pause=0)
    assert (tmp_path / "new" / "a").read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a"]


def test_a_cut_connection_is_taken_up_where_it_was_cut(tmp_path):
    with serving(Site(CONTENT, cut_after=[300_000, 200_000])) as site:
        download(site.url, tmp_path / "a", MD5, pause=0)
        assert site.asked == ["", "bytes=300000-", "bytes=500000-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_later_call_goes_on_from_what_came(tmp_path):
    with serving(Site(CONTENT, cut_after=[1000] * ATTEMPTS)) as site:
        with pytest.raises(UserError, match=r"cut at 5,000 of 1,024,000 bytes .* 5,000 bytes are kept") as error:
            download(site.url, tmp_path / "a", MD5, pause=0)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "a").exists()
        download(site.url, tmp_path / "a", MD5, pause=0)
        assert site.asked[-1] == "bytes=5000-"
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_again(tmp_path):
    with serving(Site(CONTENT, cut_after=[300_000], ranges=False)) as site:
        download(site.url, tmp_path / "a", MD5, pause=0)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_part_that_is_whole_is_only_checked(tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT)
    with serving(Site(CONTENT)) as site:
        download(site.url, tmp_path / "a", MD5, pause=0)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"something else", bytes(2_000_000)])
def test_a_part_of_something_else_is_thrown_away(tmp_path, left):
    (tmp_path / "a.part").write_bytes(left)
    with serving(Site(CONTENT)) as site:
        download(site.url, tmp_path / "a", MD5, pause=0)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_other_bytes_are_refused_and_not_kept(tmp_path):
    with serving(Site(CONTENT[:-1] + b"x")) as site, pytest.raises(UserError, match="gave another file") as error:
        download(site.url, tmp_path / "a", MD5, pause=0)
    assert "\n" not in str(error.value)
    assert not any(tmp_path.iterdir())


def test_a_busy_server_is_asked_again(tmp_path):
    with serving(Site(CONTENT, refuse=[503, 429])) as site:
        download(site.url, tmp_path / "a", MD5, pause=0)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_that_is_not_there_is_not_asked_for_twice(tmp_path):
    with serving(Site(CONTENT, refuse=[404, 404])) as site, pytest.raises(UserError, match="the server says 404"):
        download(site.url, tmp_path / "a", MD5, pause=0)
    assert len(site.asked) == 1


def test_no_server_at_all(tmp_path):
    with serving(Site(CONTENT)) as site:
        pass
    with pytest.raises(UserError, match=r"cannot download http.*refused"):
        download(site.url, tmp_path / "a", MD5, pause=0)


def test_an_address_that_is_none(tmp_path):
    with pytest.raises(UserError, match="cannot download 'nonsense'"):
        download("nonsense", tmp_path / "a", MD5, pause=0)
