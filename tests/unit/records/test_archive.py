"""Stored records come back as they were, in the company of others, or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.stats import spearmanr

from filter_sparsity import paths
from filter_sparsity.errors import UserError
from filter_sparsity.paths import run_folder
from filter_sparsity.planning.build import build_plan
from filter_sparsity.records import archive
from filter_sparsity.records.record import read, read_features, sealed
from helpers.measured_run import make_run

FOLLOWING = ("universality_beta_difference", "universality_beta_correlation")  # of features that were not counted


@pytest.fixture(scope="module")
def plan(paper_settings):
    return build_plan(paper_settings | {"scale": "reduced", "width": 0.125})


@pytest.fixture
def kept(plan, tmp_path, monkeypatch):
    """Seeds 0 and 1 of the four specs of Figure 1 and seed 0 of the two of Figure 2, stored where nothing else is.

    Only the latter's records are new enough to have a measure that was added later.
    """
    monkeypatch.chdir(tmp_path)
    for spec_id in plan.selected("figure1"):
        for seed in (0, 1):
            make_run(plan, tmp_path / "runs", spec_id, seed)
    for spec_id in plan.selected("figure2"):
        make_run(plan, tmp_path / "runs", spec_id, 0, universality_living={"C6": 0.25})
    reference = tmp_path / paths.reference("reduced")
    assert archive.store(plan, tmp_path / "runs", tmp_path / "none", reference) == (10, 10)
    return reference


@pytest.fixture
def again(paper_settings, kept):
    """The plan of what is stored."""
    return build_plan(paper_settings | {"scale": "reduced", "width": 0.125, "records": "stored"})


def test_records_and_features_come_back_byte_by_byte(plan, kept, again, tmp_path):
    assert archive.restore(again, kept, tmp_path / "back", tmp_path / "none") == 10
    for path in (tmp_path / "runs").glob("*/*/record.json"):
        back = tmp_path / "back" / path.relative_to(tmp_path / "runs")
        stored, restored = json.loads(path.read_text()), json.loads(back.read_text())
        added = {*restored["measured"]} - {*stored["measured"]}
        assert added == (set(FOLLOWING) if path.parents[1].name in plan.selected("figure2") else set())
        for record in (stored, restored):
            del record["digest"]
            for metric in added:
                record["measured"].pop(metric, None)
        assert restored == stored
    for spec_id in plan.selected("figure2"):
        for name in ("features.csv",):
            one, two = (run_folder(tmp_path / runs, spec_id, 0) / name for runs in ("runs", "back"))
            assert one.read_bytes() == two.read_bytes()


def test_an_older_record_gets_what_its_features_tell(plan, kept, again, tmp_path):
    archive.restore(again, kept, tmp_path / "back", tmp_path / "none")
    spec_id = plan.selected("figure2")[0]
    features = read_features(run_folder(tmp_path / "runs", spec_id, 0) / "features.csv")
    living = features[features["gamma"] >= 1e-3]  # all are drawn from 0 to 1
    living = living.assign(threshold=living["beta"] / living["gamma"]).groupby("layer")
    expected = {layer: spearmanr(own["universality"], own["threshold"]).statistic for layer, own in living}
    measured = read(run_folder(tmp_path / "back", spec_id, 0) / "record.json", spec_id, 0)["measured"]
    assert measured["universality_beta_correlation"] == pytest.approx(expected)
    assert measured["universality_beta_difference"] == {}  # every beta is positive


def test_a_record_that_has_a_metric_keeps_its_own(plan, kept, again, tmp_path):
    spec_id = plan.selected("figure2")[1]
    make_run(plan, tmp_path / "more", spec_id, 0, universality_beta_correlation={"C1": 0.125})
    archive.store(plan, tmp_path / "more", tmp_path / "none", kept)
    archive.restore(again, kept, tmp_path / "back", tmp_path / "none")
    measured = read(run_folder(tmp_path / "back", spec_id, 0) / "record.json", spec_id, 0)["measured"]
    assert measured["universality_beta_correlation"] == {"C1": 0.125}


def test_features_with_a_count_come_back_byte_by_byte(plan, kept, again, tmp_path):
    """One spec's runs counted the steps in which L2 dominated, the other's have an empty column."""
    for spec_id, text in zip(plan.selected("figure2"), ("0.5", ""), strict=True):
        path = make_run(plan, tmp_path / "more", spec_id, 0) / "features.csv"
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([f"{header},l2_dominates", *(f"{line},{text}" for line in lines)]) + "\n")
    archive.store(plan, tmp_path / "more", tmp_path / "none", kept)
    archive.restore(again, kept, tmp_path / "back", tmp_path / "none")
    for spec_id, counted in zip(plan.selected("figure2"), (True, False), strict=True):
        one, two = (run_folder(tmp_path / runs, spec_id, 0) for runs in ("more", "back"))
        assert (one / "features.csv").read_bytes() == (two / "features.csv").read_bytes()
        measured = read(two / "record.json", spec_id, 0)["measured"]
        assert ("selectivity_l2_correlation" in measured) == counted


def test_histories_come_back_in_half_precision(plan, kept, again, tmp_path):
    archive.restore(again, kept, tmp_path / "back", tmp_path / "none")
    for spec_id in plan.selected("figure1"):
        folders = [run_folder(tmp_path / runs, spec_id, 1) for runs in ("runs", "back")]
        one, two = (load_file(folder / "affine.safetensors") for folder in folders)
        assert {*two} == {"step", "gamma_C5", "gamma_C6", "beta_C5", "beta_C6"}
        for key, values in two.items():
            np.testing.assert_allclose(values, one[key], rtol=2**-11)


def test_the_plan_has_the_stored_runs_and_no_others(plan, again):
    stand = {spec_id: again.seeds_of(spec_id) for spec_id in plan.specs}
    assert {i for i, seeds in stand.items() if seeds} == {*plan.selected("figure1"), *plan.selected("figure2")}
    assert stand[plan.selected("figure1")[0]] == [0, 1]
    assert again.results_folder.name == "reduced-stored"
    assert "figure1" in again.available_figures


def test_what_is_not_stored_is_said(kept, paper_settings, again):
    assert "figure3" not in again.available_figures  # no simulation was there
    assert again.figures["figure3"]["missing_inputs"] == ["a simulation with these settings, which is not stored"]
    kept.with_suffix(".json").unlink()
    nothing = build_plan(paper_settings | {"scale": "reduced", "width": 0.125, "records": "stored"})
    assert not any(nothing.seeds_of(spec_id) for spec_id in nothing.specs)
    missing = nothing.figures["figure2"]["missing_inputs"]
    assert missing == ["stored runs of Adam and of SGD"]


def test_a_second_campaign_adds_and_replaces(plan, kept, paper_settings, tmp_path):
    spec_id = plan.selected("figure2")[0]
    make_run(plan, tmp_path / "more", spec_id, 0, test_error=0.5)
    make_run(plan, tmp_path / "more", spec_id, 2)
    assert archive.store(plan, tmp_path / "more", tmp_path / "none", kept) == (2, 11)
    lines = archive.tidy(kept)
    own = lines[(lines["spec_id"] == spec_id) & (lines["metric"] == "test_error")]
    assert dict(zip(own["seed"], own["value"], strict=True)) == {0: 0.5, 2: 0.1 + 0.2}


def test_storing_the_same_again_changes_no_byte(plan, kept, tmp_path):
    before = {ending: kept.with_suffix(ending).read_bytes() for ending in (".csv", ".json", ".npz")}
    archive.store(plan, tmp_path / "runs", tmp_path / "none", kept)
    assert before == {ending: kept.with_suffix(ending).read_bytes() for ending in before}


def test_a_run_on_other_data_is_refused_and_nothing_changes(plan, kept, tmp_path):
    before = kept.read_bytes()
    make_run(plan, tmp_path / "more", plan.selected("figure2")[0], 0, digest="other")
    with pytest.raises(UserError, match="other data than the stored run") as error:
        archive.store(plan, tmp_path / "more", tmp_path / "none", kept)
    assert "\n" not in str(error.value)
    assert kept.read_bytes() == before


def test_one_archive_has_runs_of_one_measuring_recipe(plan, kept, tmp_path):
    """Records of before there were versions are of version 1."""
    before = kept.read_bytes()
    path = make_run(plan, tmp_path / "more", plan.selected("figure2")[0], 2) / "record.json"
    record = json.loads(path.read_text())
    del record["digest"]
    for version in (1, 2):
        record["provenance"]["measuring"] = version
        path.write_text(sealed(record))
        if version == 1:
            archive.store(plan, tmp_path / "more", tmp_path / "none", kept)
            before = kept.read_bytes()
            assert archive.measuring_version(archive.index(kept.with_suffix(".json"))) == 1
            continue
        with pytest.raises(UserError, match="several versions of the measuring recipe") as error:
            archive.store(plan, tmp_path / "more", tmp_path / "none", kept)
        assert "\n" not in str(error.value)
    assert kept.read_bytes() == before


def test_a_changed_number_is_refused(kept, again, tmp_path):
    kept.write_text(kept.read_text().replace("0.30000000000000004", "0.3", 1))
    with pytest.raises(UserError, match="does not have the digest"):
        archive.restore(again, kept, tmp_path / "back", tmp_path / "none")


def test_nothing_to_store_is_said(plan, tmp_path):
    with pytest.raises(UserError, match="nothing to store"):
        archive.store(plan, tmp_path / "nowhere", tmp_path / "none", tmp_path / "x.csv")


@pytest.mark.parametrize("content", ['{"runs": 3}', "[]", "{"])
def test_a_damaged_index_is_one_line(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match="damaged"):
        archive.index(tmp_path / "x.json")


@pytest.mark.parametrize(
    "scale", [path.stem for path in (Path(__file__).parents[3] / "report/references/measured").glob("*.json")]
)
def test_the_archive_holds_only_runs_of_clean_commits(root, scale):
    kept = archive.index(root / paths.reference(scale, "json"))
    commits = [kept["environments"][run["environment"]]["commit"] for run in kept["runs"].values()]
    commits += [run["measured_by"] for run in kept["runs"].values() if "measured_by" in run]
    assert commits
    assert not [commit for commit in commits if not re.fullmatch("[0-9a-f]{12}", commit)]
