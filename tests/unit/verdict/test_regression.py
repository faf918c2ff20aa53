"""The comparison with stored records, on hand-made ones."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from filter_sparsity import paths
from filter_sparsity.errors import UserError
from filter_sparsity.metrics import unbounded_metrics
from filter_sparsity.paths import run_folder
from filter_sparsity.planning.build import build_plan
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.records import archive, record
from filter_sparsity.records.record import read, sealed, tidy
from filter_sparsity.verdict import regression
from filter_sparsity.verdict.statistics import expected_deviations
from helpers.archives import write_archive

LEAST = {"test_error": 0.01, "sparsity_by_gamma": 0.0, "train_loss": 0.0}
TOLERANCES = {"stored": {"deviations": 3, "edge": 0.1, "at_least": LEAST}}


class Plan:
    """Two specs, two seeds: all that a comparison asks of a plan."""

    scale = "test"
    runs = None  # trained here
    specs = ("a", "b")
    seeds = (0, 1)

    def seeds_of(self, spec_id):
        return self.seeds


def measured(error: float, gamma: float) -> dict:
    return {"test_error": error, "sparsity_by_gamma": {"total": gamma}}


@pytest.fixture
def runs(tmp_path):
    """Spec a: errors 0.10 and 0.12, sparsity 0.5 and 0.7; spec b: errors 0.2, sparsity 0.4 twice."""
    values = {"a": [measured(0.10, 0.5), measured(0.12, 0.7)], "b": [measured(0.2, 0.4), measured(0.2, 0.4)]}
    for spec_id, seeds in values.items():
        for seed, own in enumerate(seeds):
            folder = run_folder(tmp_path / "runs", spec_id, seed)
            folder.mkdir(parents=True)
            record = {"spec_id": spec_id, "seed": seed, "measured": own, "provenance": ORIGIN}
            (folder / "record.json").write_text(sealed(record))
    (tmp_path / "tolerances.yaml").write_text(yaml.safe_dump(TOLERANCES))
    return tmp_path / "runs"


ORIGIN = {"commit": "c", "device": "d", "data_digest": "e", "versions": {"torch": "2"}, "date": "x", "wall_seconds": 1}


def stored_of(runs) -> pd.DataFrame:
    return tidy([read(p, p.parts[-3], int(p.parts[-2][4:])) for p in sorted(runs.glob("*/*/*.json"))])


def compared(runs, reference: pd.DataFrame) -> pd.DataFrame:
    write_archive(runs.parent / "stored.csv", reference)
    return regression.compare(Plan(), runs, runs.parent / "stored.csv", runs.parent / "tolerances.yaml")


def test_tolerance_by_hand(runs):
    """3 standard errors of two means of 2 seeds each are 3 deviations.

    Of sparsities 0.6 and 0.4 the room is 0.24 each; the variances 0.02 and 0 are a 24th of it, which is 0.1 squared.
    """
    found = compared(runs, stored_of(runs)).set_index(["spec_id", "metric"])
    assert found.loc[("a", "test_error"), "mean_stored"] == pytest.approx(0.11)
    assert found.loc[("a", "test_error"), "sd_stored"] == pytest.approx(0.02 / math.sqrt(2))
    assert (found.loc[["a", "b"], "n_stored"] == 2).all()
    assert found.loc[("a", "sparsity_by_gamma"), "tolerance"] == pytest.approx(3 * 0.2 / math.sqrt(2))
    assert found.loc[("b", "sparsity_by_gamma"), "tolerance"] == pytest.approx(3 * 0.1)
    assert found.loc[("all specs", "sparsity_by_gamma"), "tolerance"] == pytest.approx(math.sqrt(0.18 + 0.09) / 2)
    assert (found["verdict"] == "agrees").all()


def test_a_changed_number_of_the_archive_is_not_compared(runs):
    """The csv is believed only with the digests of its records."""
    compared(runs, stored_of(runs))
    path = runs.parent / "stored.csv"
    path.write_text(path.read_text().replace("a,0,test_error,,0.1\n", "a,0,test_error,,0.11\n"))
    with pytest.raises(UserError, match=r"\A[^\n]+a seed 0 does not have the digest [^\n]+\Z"):
        regression.compare(Plan(), runs, path, runs.parent / "tolerances.yaml")


@pytest.mark.parametrize("lost", ["a", "b"])
def test_a_run_in_one_file_of_the_archive_is_not_compared(runs, lost):
    compared(runs, stored_of(runs))
    path, index = runs.parent / "stored.csv", runs.parent / "stored.json"
    if lost == "a":
        path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("a,1,")))
    else:
        content = json.loads(index.read_text())
        content["runs"] = [run for run in content["runs"] if run["spec_id"] == "a"]
        index.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"a seed 1 does not have the digest|b seed 0, which [^ ]+ does not list"):
        regression.compare(Plan(), runs, path, runs.parent / "tolerances.yaml")


def test_runs_of_another_measuring_recipe_are_not_compared(runs, monkeypatch):
    write_archive(runs.parent / "stored.csv", stored_of(runs), measuring=2)
    with pytest.raises(UserError, match="measured by version 2 of the measuring recipe, and this code has 1"):
        regression.compare(Plan(), runs, runs.parent / "stored.csv", runs.parent / "tolerances.yaml")
    monkeypatch.setattr(record, "MEASURING", 2)
    with pytest.raises(UserError, match=r"record.json was measured by version 1 of the measuring recipe[^\n]+\Z"):
        compared(runs, stored_of(runs))


def test_how_much_seeds_vary_goes_with_the_mean(runs):
    """A share of 0 varies as one at the edge, 0.1; the deviation of a loss is in proportion to it.

    Of shares 0.5, 0 and 0.1 the room is 0.25, 0.09 and 0.09, and the variance of the first is 0.0086: a fiftieth of the
    sum. Of losses 4 and 0.5 one varies by a tenth (its variance is 0.16), the other not.
    """
    lines = [("test_error", 0.5, math.sqrt(0.0086)), ("test_error", 0.0, 0.0), ("test_error", 0.1, 0.0)]
    lines += [("train_loss", 4.0, 0.4), ("train_loss", 0.5, 0.0)]
    kept = pd.DataFrame(lines, columns=["metric", "mean", "sd"]).assign(layer="")
    like = math.sqrt(0.09 * 0.02)
    loss = 0.5 * math.sqrt(0.16 / 16.25)
    expected = [math.sqrt(0.0086), like, like, 0.4, loss]
    assert expected_deviations(kept, 0.1).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("mean", "verdict"), [(0.5, "cannot fail"), (0.9, "agrees")])
def test_a_share_that_no_value_could_fail_does_not_agree(runs, mean, verdict):
    """Spec a varies by 0.2 around 0.5, and three deviations more than reach 0 and 1; of 0.9 they do not reach 0."""
    stored = stored_of(runs)
    here = (stored["spec_id"] == "a") & (stored["metric"] == "sparsity_by_gamma")
    stored.loc[here, "value"] = mean + np.array([0.1, -0.1]) * math.sqrt(2)
    found = compared(runs, stored).set_index(["spec_id", "metric"])
    assert found.loc[("a", "sparsity_by_gamma"), "tolerance"] == pytest.approx(0.6)
    assert found.loc[("a", "sparsity_by_gamma"), "verdict"] == verdict


def test_what_could_not_fail_is_counted_apart(runs):
    stored = stored_of(runs)
    stored.loc[(stored["spec_id"] == "a") & (stored["metric"] == "sparsity_by_gamma"), "value"] = [0.3, 0.9]
    path = runs.parent / "check.json"
    path.write_text(regression.as_json(compared(runs, stored), "test"))
    said = json.loads(path.read_text())
    assert (said["agrees"], said["differs"], said["cannot_fail"], said["no_reference"]) == (3, 0, 3, 0)
    text, good = regression.check(path)
    assert good
    assert "3 of 6 cells agree, 3 that nothing could fail; 0 have no reference" in text


def test_what_each_cell_hides_all_of_them_show(tmp_path):
    """Nine specs whose sparsity varies by 0.1, all 0.2 lower than stored: within 0.3 each, not within 0.1 together."""
    lines = [(f"spec{i}", k, v) for i in range(9) for k, v in enumerate([0.5 - 0.1 / 2**0.5, 0.5 + 0.1 / 2**0.5])]
    names = [f"spec{i}" for i in range(9)]
    for spec_id, seed, value in lines:
        folder = run_folder(tmp_path / "runs", spec_id, seed)
        folder.mkdir(parents=True)
        record = {"spec_id": spec_id, "seed": seed, "measured": measured(0.1, value - 0.2), "provenance": ORIGIN}
        (folder / "record.json").write_text(sealed(record))
    (tmp_path / "tolerances.yaml").write_text(yaml.safe_dump(TOLERANCES))
    stored = stored_of(tmp_path / "runs")
    stored.loc[stored["metric"] == "sparsity_by_gamma", "value"] += 0.2
    plan = Plan()
    plan.specs = names
    write_archive(tmp_path / "stored.csv", stored)
    found = regression.compare(plan, tmp_path / "runs", tmp_path / "stored.csv", tmp_path / "tolerances.yaml")
    found = found[found["metric"] == "sparsity_by_gamma"].set_index("spec_id")
    assert (found.loc[names, "verdict"] == "agrees").all()
    assert found.loc["all specs", ["difference", "tolerance"]].tolist() == pytest.approx([-0.2, 0.1])
    assert found.loc["all specs", ["n", "n_stored"]].tolist() == [18, 18]
    assert found.loc["all specs", "verdict"] == "differs"


def test_what_one_side_lacks_is_not_compared(runs):
    """A metric that stored records are too old to have, and one that fresh ones have no more."""
    stored = stored_of(runs)
    found = compared(runs, stored[stored["metric"] != "sparsity_by_gamma"]).set_index(["spec_id", "metric"])
    assert (found.loc[(["a", "b"], "sparsity_by_gamma"), "verdict"] == "no reference").all()
    assert (found.loc[(["a", "b", "all specs"], "test_error"), "verdict"] == "agrees").all()
    assert ("all specs", "sparsity_by_gamma") not in found.index
    more = stored[stored["metric"] == "test_error"].assign(metric="train_loss")
    assert {*compared(runs, pd.concat([stored, more]))["metric"]} == {"test_error", "sparsity_by_gamma"}


def test_a_metric_without_a_least_tolerance_is_one_line(runs):
    (runs.parent / "tolerances.yaml").write_text(
        yaml.safe_dump({"stored": TOLERANCES["stored"] | {"at_least": {"test_error": 0.01}}})
    )
    with pytest.raises(UserError, match="does not say the least tolerance of sparsity_by_gamma"):
        compared(runs, stored_of(runs))


@pytest.mark.parametrize(("shift", "verdict"), [(0.29, "agrees"), (0.31, "differs"), (-0.31, "differs")])
def test_a_shift_beyond_tolerance_differs(runs, shift, verdict):
    stored = stored_of(runs)
    stored.loc[(stored["spec_id"] == "b") & (stored["metric"] == "sparsity_by_gamma"), "value"] += shift
    found = compared(runs, stored).set_index(["spec_id", "metric"])
    assert found.loc[("b", "sparsity_by_gamma"), "verdict"] == verdict


def test_the_judgement_names_what_differs(runs):
    stored = stored_of(runs)
    stored.loc[stored["spec_id"] == "b", "value"] += 1
    path = runs.parent / "check.json"
    path.write_text(regression.as_json(compared(runs, stored), "test"))
    text, good = regression.check(path)
    assert not good
    assert "differs: b test_error" in text
    assert "differs: all specs test_error" in text
    assert "2 of 6 cells agree, 0 that nothing could fail" in text


def test_a_spec_without_reference_is_said_and_not_judged(runs):
    stored = stored_of(runs)
    path = runs.parent / "check.json"
    path.write_text(regression.as_json(compared(runs, stored[stored["spec_id"] == "a"]), "test"))
    text, good = regression.check(path)
    assert good
    assert "2 have no reference" in text


def test_nothing_compared_is_not_good(runs):
    stored = stored_of(runs)
    stored["spec_id"] += "-other"
    path = runs.parent / "check.json"
    path.write_text(regression.as_json(compared(runs, stored), "test"))
    assert not regression.check(path)[1]


def test_one_stored_seed_is_no_reference(runs):
    stored = stored_of(runs)
    found = compared(runs, stored[(stored["spec_id"] == "a") | (stored["seed"] == 0)]).set_index(["spec_id", "metric"])
    assert (found.loc["a", "verdict"] == "agrees").all()
    assert (found.loc["b", "verdict"] == "no reference").all()


def test_stored_records_are_not_compared_with_themselves(runs, monkeypatch):
    monkeypatch.setattr(Plan, "runs", {"a": [0, 1], "b": [0, 1]})
    with pytest.raises(UserError, match="nothing fresh to compare"):
        compared(runs, stored_of(runs))


def test_a_damaged_comparison_is_one_line(tmp_path):
    (tmp_path / "check.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        regression.check(tmp_path / "check.json")


def test_the_page_says_what_a_check_of_quick_can_see(root, tmp_path, monkeypatch):
    """Two of the stored seeds in place of fresh ones."""
    monkeypatch.chdir(root)
    settings = read_yaml(root / "config/config.yaml")
    runs, reference = tmp_path / "runs", paths.reference("quick")
    stored = build_plan(settings | {"records": "stored"})
    archive.restore(stored, reference, runs, tmp_path)
    fresh = replace(stored, specs={i: spec for i, spec in stored.specs.items() if stored.runs[i]}, runs=None)
    frame = regression.compare(fresh, runs, reference, paths.TOLERANCES)
    shares = frame[(frame["spec_id"] != regression.ALL) & ~frame["metric"].isin(unbounded_metrics())]
    page = (root / "docs/verdicts.md").read_text()
    hopeless = (shares["verdict"] == "cannot fail").sum()
    assert f"{hopeless} of the {len(shares):,} shares cannot fail" in " ".join(page.split())
    lines = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|(.*)\| ([\d.]+)(?: to ([\d.]+))? \|$", page, re.MULTILINE)
    assert len(lines) == 8
    for metric, median, share, least, most in lines:
        own = frame[frame["metric"] == metric]
        together, each = own[own["spec_id"] == regression.ALL], own[own["spec_id"] != regression.ALL]
        assert float(median) == pytest.approx(each["tolerance"].median(), abs=0.005)
        assert (float(least), float(most or least)) == pytest.approx(
            (together["tolerance"].min(), together["tolerance"].max()), abs=0.005
        )
        if share := share.strip():
            told = 0 if share == "none" else float(share.removesuffix(" %"))
            assert told == pytest.approx(100 * (each["verdict"] == "cannot fail").mean(), abs=0.5)
