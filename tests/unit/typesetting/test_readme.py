"""The verdict in the README, from runs that hold the paper's own numbers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.typesetting.readme import END, START, link_to_records, write_verdict

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "report/readme.md.j2"


@pytest.fixture
def page(tmp_path):
    """A function that writes a verdict into a page, with records of some specs, and returns its text."""
    (tmp_path / "layers.png").write_text("a picture")
    (tmp_path / "docs").mkdir()
    readme, reference = tmp_path / "README.md", tmp_path / "records" / "paper.csv"
    reference.parent.mkdir()

    def written(plan, folder, stored=(), template=TEMPLATE):
        readme.write_text(f"before\n{START}\nwhat was found before\n{END}\nafter\n")
        reference.write_text("spec_id,seed,metric,layer,value\n" + "".join(f"{spec},0,x,,1\n" for spec in stored))
        layers = tmp_path / "layers.png"
        write_verdict(plan, folder, reference, layers, template, readme, tmp_path / "docs")
        assert (tmp_path / "docs" / "layers.png").read_text() == "a picture"
        return readme.read_text()

    return written


def test_the_first_screen_has_answer_picture_and_headlines(judged, page):
    plan, folder = judged
    text = page(plan, folder, stored=plan.specs)
    headlines = [claim for claim in plan.claims if claim.get("headline")]
    assert text.startswith(f"before\n{START}\n**The paper says: {headlines[0]['statement'].rstrip('.')}**")
    assert text.endswith(f"{END}\nafter\n")
    assert "was found before" not in text
    assert "(Adam L2 1e-3 against SGD L2 1e-3 on CIFAR-10): 83 against 27 % in the paper, 83 against 27 % here" in text
    things = ["The pipeline runs", "The effect appears", "The number matches"]
    places = [text.index(words) for words in ("83 against 27", "](docs/layers.png)", "| claim of the", *things)]
    assert places == sorted(places)
    assert "| The number matches | 314 of 314 printed numbers are measured: 31" in text
    assert [claim["statement"] in text for claim in headlines] == [True] * len(headlines)
    links = re.findall(r"\]\((records/paper\.csv#L(\d+)-L\2)\)", text)
    assert len(links) >= 3
    for _, line in links:  # each leads to a spec that stands in a test
        assert [*plan.specs][int(line) - 2] in json.dumps(headlines)


def test_another_scale_refutes_nothing_and_says_why(judged, page):
    plan, folder = judged
    small = replace(plan, settings=plan.settings | {"width": 0.5, "steps": 20000})
    summary = json.loads((folder / "verdict.json").read_text()) | {"width": 0.5, "steps": 20000}
    summary["claims"] |= {"refuted": 2, "undecided": 0, "confirmed": 0, "not measured": 17}
    other = folder.parent / "small"
    other.mkdir(exist_ok=True)
    for name in ("cells.csv", "claims.csv"):
        (other / name).write_text((folder / name).read_text())
    (other / "verdict.json").write_text(json.dumps(summary))
    text = page(small, other)
    assert "here, at half the width, after 20,000 steps, on CIFAR-10 (n = 3)" in text
    assert "2 do not hold here, 17 not measured" in text
    assert "refuted" not in text
    assert "No number can match: the scale is not the paper's." in text
    assert "says little of the paper's networks" in text


def test_without_runs_the_readme_says_so(judged, page):
    plan, folder = judged
    other = folder.parent / "empty"
    other.mkdir()
    for name in ("cells.csv", "claims.csv"):
        (other / name).write_text((folder / name).read_text())
    (other / "verdict.json").write_text(json.dumps(json.loads((folder / "verdict.json").read_text()) | {"runs": 0}))
    text = page(plan, other)
    assert text == f"before\n{START}\nNo runs of real images (scale `paper`) are stored yet.\n{END}\nafter\n"


def test_a_link_spans_the_lines_of_the_first_stored_spec(tmp_path):
    reference = tmp_path / "reduced.csv"
    reference.write_text("spec_id,seed\na,0\na,1\nb,0\n")
    assert link_to_records(reference, "x/reduced.csv", ["c", "a", "b"]) == "x/reduced.csv#L2-L3"
    assert link_to_records(reference, "x/reduced.csv", ["b"]) == "x/reduced.csv#L4-L4"
    assert link_to_records(reference, "x/reduced.csv", ["c"]) == ""
    assert link_to_records(reference, "x/reduced.csv", []) == "x/reduced.npz"  # a simulation


def test_a_page_without_a_place_for_it_is_refused(judged, tmp_path):
    plan, folder = judged
    (tmp_path / "README.md").write_text("nothing\n")
    with pytest.raises(UserError, match="no place for the verdict"):
        write_verdict(plan, folder, tmp_path, tmp_path / "x.png", TEMPLATE, tmp_path / "README.md", tmp_path)


def test_a_file_that_is_no_verdict_is_one_line(judged, tmp_path):
    plan, folder = judged
    for name in ("cells.csv", "claims.csv"):
        (tmp_path / name).write_text((folder / name).read_text())
    (tmp_path / "verdict.json").write_text("scale: quick")
    (tmp_path / "README.md").write_text(f"{START}{END}")
    with pytest.raises(UserError, match=r"holds no verdict .*: judge again"):
        write_verdict(plan, tmp_path, tmp_path, tmp_path / "x.png", TEMPLATE, tmp_path / "README.md", tmp_path)
