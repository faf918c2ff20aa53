"""Folders of runs that are merged: what does not fit is named, and nothing else is."""

import json
import shutil

import pytest

from filter_sparsity import cli
from filter_sparsity.errors import UserError
from filter_sparsity.files import write_text
from filter_sparsity.plan import Plan
from filter_sparsity.planning.build import build_plan
from filter_sparsity.records.audit import audit, table
from filter_sparsity.records.record import read, sealed
from helpers.measured_run import make_run


@pytest.fixture(scope="module")
def plan(paper_settings):
    return build_plan(paper_settings | {"scale": "reduced", "width": 0.125})


@pytest.fixture
def specs(plan):
    """Four specs of one dataset."""
    return [i for i, spec in plan.specs.items() if spec.dataset == "cifar10"][:4]


@pytest.fixture
def two(plan, specs, tmp_path):
    """What two machines trained: the specs' seeds 0 and 1, and their seed 2."""
    for spec_id in specs:
        for seed in (0, 1):
            make_run(plan, tmp_path / "one", spec_id, seed)
        make_run(plan, tmp_path / "two", spec_id, 2)
    return tmp_path / "one", tmp_path / "two"


def only(conflicts):
    assert len(conflicts) == 1
    assert "\n" not in conflicts[0]
    return conflicts[0]


def test_disjoint_runs_merge_by_copying(two, plan, specs):
    apart = audit(two, plan)
    shutil.copytree(two[1], two[0], dirs_exist_ok=True)
    runs, conflicts = audit(two[:1], plan)
    assert (len(runs), conflicts) == (12, []) == (len(apart[0]), apart[1])
    lines = table(runs, plan)
    assert len(lines) == len(plan.specs)
    assert f"{specs[0]}: measured 0 1 2" in lines
    missing = next(spec_id for spec_id in plan.specs if spec_id not in specs)
    assert f"{missing}: missing {' '.join(map(str, plan.seeds_of(missing)))}" in lines


def test_the_same_run_twice_is_one_run(two, plan, specs):
    make_run(plan, two[1], specs[0], 0)
    assert audit(two)[1] == []


def test_one_spec_and_seed_with_two_results(two, plan, specs):
    folder = make_run(plan, two[1], specs[0], 0, test_error=0.5)
    said = only(audit(two)[1])
    assert said == f"{folder} was made in another training than {two[0] / specs[0] / 'seed0'}: keep one of them"


def test_other_data_are_named_for_the_dataset(two, plan, specs):
    folder = make_run(plan, two[1], specs[0], 3, digest="another")
    said = only(audit(two)[1])
    assert said == f"cifar10: runs differ in data: data (12 runs, as {two[0] / sorted(specs)[0] / 'seed0'}); " + (
        f"another (1 runs, as {folder})"
    )


def test_a_run_under_another_seeds_or_specs_name(two, specs):
    (two[0] / specs[0] / "seed1").rename(two[0] / specs[0] / "seed7")
    assert f"is the record of {specs[0]} seed 1, not of {specs[0]} seed 7" in only(audit(two)[1])
    shutil.rmtree(two[0] / specs[0] / "seed7")
    (two[0] / specs[1]).rename(two[0] / "other")
    assert len(audit(two)[1]) == 2


def test_settings_that_are_not_those_of_the_name(two, plan, specs):
    path = two[0] / specs[0] / "seed0" / "record.json"
    record = read(path, specs[0], 0)
    path.write_text(sealed({**record, "spec": {**record["spec"], "batch_size": 41}}))
    assert "holds the settings of" in only(audit(two)[1])


@pytest.mark.parametrize("content", ["{", "{}", '{"spec_id": 3}', sealed({}), "\x00"])
def test_a_damaged_record(two, specs, content):
    path = two[0] / specs[0] / "seed0" / "record.json"
    path.write_text(content)
    assert only(audit(two)[1]).startswith(str(path))


def test_a_record_beside_the_weights_of_another_training(two, specs):
    folder = two[0] / specs[0] / "seed0"
    origin = json.loads((folder / "record.json").read_text())["provenance"]
    (folder / "provenance.json").write_text(json.dumps(origin))
    assert audit(two)[1] == []
    (folder / "provenance.json").write_text(json.dumps({**origin, "date": "later"}))
    assert only(audit(two)[1]).endswith("are of two trainings: copy the folder whole")


def test_a_training_that_was_measured_twice_is_no_conflict(two, plan, specs):
    path = make_run(plan, two[1], specs[0], 0) / "record.json"
    record = json.loads(path.read_text())
    del record["digest"]
    origin = record["provenance"]
    path.with_name("provenance.json").write_text(json.dumps(origin))
    path.write_text(sealed({**record, "provenance": {**origin, "measured_by": "a later commit", "measuring": 1}}))
    assert audit(two)[1] == []


def test_what_is_not_measured_yet_is_no_conflict(two, specs):
    (two[0] / specs[0] / "seed5").mkdir()
    folder = two[0] / specs[0] / "seed6"
    folder.mkdir()
    (folder / "provenance.json").write_text(json.dumps({"spec_id": specs[0], "seed": 6}))
    runs, conflicts = audit(two)
    assert conflicts == []
    assert f"{specs[0]}: measured 0 1 2, trained 6, unfinished 5" in table(runs)


def test_a_planned_name_with_other_settings_is_a_conflict(two, plan, specs, paper_settings):
    other = build_plan(paper_settings | {"scale": "reduced", "width": 0.125, "steps": 1000})
    lines = audit(two, Plan.from_json(write(other, two[0].parent / "plan.json")))[1]
    assert len(lines) == len(specs)
    assert all("has other settings than the plan's" in line and "phase_steps" in line for line in lines)


def write(plan, path):
    write_text(path, plan.to_json())
    return path


@pytest.mark.parametrize("name", ["seed", "seed-1", "seed01", "notes", "seed1.bak"])
def test_a_folder_that_is_no_runs(two, specs, name):
    (two[0] / specs[0] / name).mkdir()
    assert "is not the folder of a run" in only(audit(two)[1])


def test_where_there_are_no_runs(tmp_path):
    with pytest.raises(UserError, match="has no runs"):
        audit([tmp_path])


def test_the_verb_prints_a_table_and_fails_on_conflicts(two, plan, specs, capsys):
    folders = [str(folder) for folder in two]
    assert cli.main(["audit", *folders]) == 0
    assert capsys.readouterr().out.endswith("12 runs: 12 measured, 0 trained, 0 unfinished\n")
    make_run(plan, two[1], specs[0], 0, test_error=0.5)
    assert cli.main(["audit", *folders]) == 1
    printed = capsys.readouterr()
    assert sum(line.startswith("conflict: ") for line in printed.out.splitlines()) == 1
    assert printed.err == "error: 1 conflicts: mend them before these runs are used together\n"
