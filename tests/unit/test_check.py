"""The comparison with stored records, on hand-made ones."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import yaml

from filter_sparsity import check, records
from filter_sparsity.errors import UserError
from filter_sparsity.paths import of_run

TOLERANCES = {"stored": {"deviations": 3, "at_least": {"test_error": 0.01, "sparsity_by_gamma": 0.0}}}


class Plan:
    """Two specs, two seeds: all that a comparison asks of a plan."""

    scale = "test"
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
            folder = of_run(tmp_path / "runs", spec_id, seed)
            folder.mkdir(parents=True)
            record = {"spec_id": spec_id, "seed": seed, "measured": own, "provenance": ORIGIN}
            (folder / "record.json").write_text(records.sealed(record))
    (tmp_path / "tolerances.yaml").write_text(yaml.safe_dump(TOLERANCES))
    return tmp_path / "runs"


ORIGIN = {"commit": "c", "device": "d", "data_digest": "e", "versions": {"torch": "2"}, "date": "x", "wall_seconds": 1}


def stored_of(runs) -> pd.DataFrame:
    return records.tidy([records.read(p, p.parts[-3], int(p.parts[-2][4:])) for p in sorted(runs.glob("*/*/*.json"))])


def compared(runs, stored: pd.DataFrame) -> pd.DataFrame:
    stored.to_csv(runs.parent / "stored.csv", index=False)
    return check.compare(Plan(), runs, runs.parent / "stored.csv", runs.parent / "tolerances.yaml")


def test_tolerance_by_hand(runs):
    """Deviations 0.1414 and 0, pooled 0.1; 3 standard errors of two means of 2 seeds each are 3 deviations."""
    found = compared(runs, stored_of(runs)).set_index(["spec_id", "metric"])
    assert found.loc[("a", "test_error"), "mean_stored"] == pytest.approx(0.11)
    assert found.loc[("a", "test_error"), "sd_stored"] == pytest.approx(0.02 / math.sqrt(2))
    assert (found["n_stored"] == 2).all()
    assert found.loc[("a", "sparsity_by_gamma"), "tolerance"] == pytest.approx(3 * 0.2 / math.sqrt(2))
    assert found.loc[("b", "sparsity_by_gamma"), "tolerance"] == pytest.approx(3 * 0.1)
    assert (found["verdict"] == "agrees").all()


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
    path.write_text(check.as_json(compared(runs, stored), "test"))
    text, good = check.judge(path)
    assert not good
    assert "differs: b test_error" in text
    assert "2 of 4 cells agree" in text


def test_a_spec_without_reference_is_said_and_not_judged(runs):
    stored = stored_of(runs)
    path = runs.parent / "check.json"
    path.write_text(check.as_json(compared(runs, stored[stored["spec_id"] == "a"]), "test"))
    text, good = check.judge(path)
    assert good
    assert "2 have no reference" in text


def test_nothing_compared_is_not_good(runs):
    stored = stored_of(runs)
    stored["spec_id"] += "-other"
    path = runs.parent / "check.json"
    path.write_text(check.as_json(compared(runs, stored), "test"))
    assert not check.judge(path)[1]


def test_one_stored_seed_is_no_reference(runs):
    stored = stored_of(runs)
    found = compared(runs, stored[(stored["spec_id"] == "a") | (stored["seed"] == 0)]).set_index(["spec_id", "metric"])
    assert (found.loc["a", "verdict"] == "agrees").all()
    assert (found.loc["b", "verdict"] == "no reference").all()


def test_a_damaged_comparison_is_one_line(tmp_path):
    (tmp_path / "check.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        check.judge(tmp_path / "check.json")
