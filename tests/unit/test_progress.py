from __future__ import annotations

import re

import pytest

from filter_sparsity.progress import Bar


def test_a_bar_says_how_far_it_is() -> None:
    assert re.fullmatch(r"render: 0 of 2,000 images, \d+ s", str(Bar("render", 2000, "images", shown=False)))
    bar = Bar("file", 4000, "bytes", done=1000, shown=False)
    bar.update(1500)
    assert re.fullmatch(r"file: 2,500 of 4,000 bytes, \d+ s, \d+ s left", str(bar))
    bar = Bar("measure", None, "batches", shown=False)
    bar.update()
    assert re.fullmatch(r"measure: 1 batches, \d+ s", str(bar))


@pytest.mark.parametrize("shown", [True, False])
def test_a_file_gets_the_last_line_of_a_short_work(shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("measure", 3, "batches", shown=shown) as bar:
        for _ in range(3):
            bar.update()
    assert re.fullmatch(r"measure: 3 of 3 batches, \d+ s\n" if shown else "", capsys.readouterr().err)
