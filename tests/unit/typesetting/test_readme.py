"""The verdict in the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.typesetting.readme import END, START, render_verdict, write_readme
from filter_sparsity.verdict.summary import as_json

TEMPLATE = Path(__file__).parents[3] / "report/readme.md.j2"
FOUND = {
    "scale": "reduced",
    "width": 0.125,
    "steps": 40000,
    "runs": 6,
    "specs": 37,
    "specs_with_runs": 2,
    "seeds": [3, 3],
    "cells": {"printed": 314, "agrees": 0, "differs": 0, "undecided": 0, "not comparable": 26, "not measured": 288},
    "claims": {"made": 19, "confirmed": 2, "refuted": 0, "undecided": 4, "not measured": 13, "lacking": 3, "unfit": 1},
    "statements": {"confirmed": ["Adam loses more.", "SGD loses less."], "refuted": []},
    "simulated_claims": {"made": 3, "confirmed": 2, "refuted": 1, "undecided": 0, "not measured": 0},
}


def test_the_readme_says_what_was_found(tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nwhat was found before\n{END}\nafter\n")
    (tmp_path / "verdict.json").write_text(as_json(FOUND))
    pictures = [tmp_path / "layers.png", tmp_path / "overview.png"]
    for picture in pictures:
        picture.write_text(picture.name)
    write_readme(tmp_path / "verdict.json", *pictures, TEMPLATE, readme, tmp_path / "docs")
    text = readme.read_text()
    assert "real CIFAR images, 0.125 of the width, 40,000 steps; 6 runs of 2 specs, n = 3" in text
    assert "on 19 claims of the supplement about networks" in text
    assert "- **Holds here** (2): Adam loses more. SGD loses less.\n" in text
    assert "- **Does not hold here** (0): none so far." in text
    assert "- **Open** (17): 4 undecided, 13 not measured." in text
    assert "Of 3 claims about a simulated scalar (Figure 3, which needs no network): 2 confirmed, 1 refuted." in text
    assert "3 of the undecided presuppose sparsity where there is none" in text
    assert "1 of the undecided rest on runs that cannot decide them: silent from the start, not learned" in text
    assert "Of 314 printed numbers 26 are measured, and not comparable with the paper's." in text
    assert "says little of the paper's networks" in text
    assert "was found before" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    for picture in pictures:
        assert (tmp_path / "docs" / picture.name).read_text() == picture.name
        assert f"](docs/{picture.name})" in text


def test_a_file_that_is_no_verdict_is_one_line(tmp_path):
    (tmp_path / "verdict.json").write_text("scale: quick")
    picture = tmp_path / "x.png"
    with pytest.raises(UserError, match=r"holds no verdict .*: judge again"):
        write_readme(tmp_path / "verdict.json", picture, picture, TEMPLATE, tmp_path / "README.md", tmp_path / "y")


def test_a_readme_without_a_place_for_it_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("nothing\n")
    (tmp_path / "verdict.json").write_text(as_json(FOUND))
    picture = tmp_path / "x.png"
    with pytest.raises(UserError, match="no place for the verdict"):
        write_readme(tmp_path / "verdict.json", picture, picture, TEMPLATE, tmp_path / "README.md", tmp_path / "y")


def test_without_runs_the_readme_says_so():
    text = render_verdict({**FOUND, "runs": 0}, "layers.png", "overview.png", TEMPLATE)
    assert text == f"{START}\n**The verdict**: no runs of real images (scale `reduced`) are stored yet.\n{END}"


def test_at_the_papers_scale_numbers_agree_and_none_is_smaller():
    cells = {**FOUND["cells"], "not comparable": 0, "agrees": 20, "differs": 6}
    summary = {**FOUND, "cells": cells, "width": 1, "steps": None, "seeds": [1, 3]}
    text = render_verdict(summary, "layers.png", "overview.png", TEMPLATE)
    assert "(real CIFAR images; 6 runs of 2 specs, n = 1 to 3)" in text
    assert "Of 314 printed numbers 26 are measured: 20 agree." in text
    assert "smaller" not in text
