"""Which files jobs and targets need, and which training starts first."""

import json

import pytest

from filter_sparsity import paths
from filter_sparsity.planning import jobs
from filter_sparsity.planning.build import build_plan

OUT = paths.ResultsFolder.of("paper")


@pytest.fixture(scope="module")
def plan(paper_settings):
    """The published settings, one seed a job."""
    return build_plan(paper_settings)


@pytest.fixture(scope="module")
def packed(paper_settings):
    """One job trains all seeds of a spec; Tiny-ImageNet, with seeds of its own, is away."""
    plan = build_plan(paper_settings | {"manual_datasets": []})
    plan.settings["pack_seeds"] = True
    return plan


@pytest.fixture(scope="module")
def archived(paper_settings):
    """The same, with records from the archive, which has none of this scale."""
    return build_plan(paper_settings | {"records": "stored"})


def test_a_file_of_every_run_and_of_those_that_a_table_shows(plan):
    files = jobs.run_files(plan, "record.json")
    assert len(files) == sum(len(plan.seeds_of(spec)) for spec in plan.specs) == len({*files})
    shown = plan.selected("table3")
    expected = [OUT.run(spec, seed) / "record.json" for spec in shown for seed in (0, 1, 2)]
    assert jobs.shown_run_files(plan, "record.json", "table3") == expected


def test_a_job_has_one_seed_or_all(plan, packed):
    runs = OUT.runs / "{spec}"
    assert jobs.job_files(plan, ["a", "b"]) == [runs / "seed{seed}" / name for name in "ab"]
    assert jobs.job_files(packed, ["a"]) == [runs / f"seed{seed}" / "a" for seed in (0, 1, 2)]


def test_specs_are_given_in_full(plan):
    arguments = jobs.spec_arguments(plan)
    assert {name: json.loads(text) for name, text in arguments.items()} == {
        name: spec.to_dict() for name, spec in plan.specs.items()
    }


def test_what_the_campaign_lists_is_trained_first(plan):
    order = jobs.training_order(plan)
    assert sorted(order) == sorted(plan.specs)
    first = plan.selected("table1")
    assert order[: len(first)] == first
    claimed = [spec for spec in plan.shown_by("claims") if spec not in first]
    assert order[len(first) :][: len(claimed)] == claimed


def test_nothing_listed_leaves_the_order_of_the_plan(paper_settings):
    plan = build_plan({key: value for key, value in paper_settings.items() if key != "train_first"})
    assert jobs.training_order(plan) == [*plan.specs]


def test_trainings_go_seed_by_seed_and_then_in_their_order(plan):
    priorities = jobs.training_priorities(plan)
    assert {*priorities} == {(spec, str(seed)) for spec, seed in jobs.runs(plan)}
    by_turn = sorted(priorities, key=priorities.get, reverse=True)
    assert len({*priorities.values()}) == len(priorities)
    assert min(priorities.values()) > 0
    assert by_turn == [(spec, str(seed)) for seed in plan.seeds for spec in jobs.training_order(plan)]


def test_packed_trainings_have_no_seed(packed):
    priorities = jobs.training_priorities(packed)
    by_turn = sorted(priorities, key=priorities.get, reverse=True)
    assert by_turn == [(spec, None) for spec in jobs.training_order(packed)]


def test_trainings_stop_after_the_minutes_of_a_call():
    assert jobs.stop_time(None, 1000.5) == 0
    assert jobs.stop_time(2, 1000.5) == 1120


def test_a_target_needs_the_plan_and_the_end_of_each_training(plan, archived):
    last = paths.TRAINED[-1]
    assert jobs.final_files(plan) == [OUT.plan, *jobs.run_files(plan, last)]
    assert jobs.final_files(plan, ["figure2"]) == [OUT.plan, *jobs.shown_run_files(plan, last, "figure2")]
    assert jobs.final_files(archived) == [archived.results_folder.plan]


def test_figures_draw_what_their_kind_says(plan):
    assert jobs.figure_inputs(plan, "figure3") == [OUT.simulation("figure3")]
    assert jobs.figure_inputs(plan, "figure1") == jobs.shown_run_files(plan, "affine.safetensors", "figure1")
    assert jobs.figure_inputs(plan, "figure2") == jobs.shown_run_files(plan, "features.csv", "figure2")
    gallery = plan.figures["figure4"]
    assert jobs.figure_inputs(plan, "figure4") == [paths.prepared(gallery[part]) for part in paths.COMPOSED]


def test_claims_need_only_the_simulations_that_are_drawn(plan):
    assert jobs.claim_inputs(plan) == [OUT.simulation("figure3")]


def test_a_composed_dataset_needs_its_renders(paper_settings):
    substitutes = {"objectnet3d_plain": "shapes_plain", "objectnet3d_cluttered": "shapes_cluttered"}
    mirrors = {"cifar10": "http://localhost/x"}
    plan = build_plan(paper_settings | {"substitutes": substitutes, "mirrors": mirrors})
    assert jobs.prepare_inputs("cifar10") == []
    assert jobs.prepare_inputs("shapes_plain") == [paths.rendered("shapes")]
    digest = plan.datasets["cifar10"].digest
    declared = '--declared={"classes": 10, "train": 50000, "test": 10000}'
    given = [declared, f"--digest={digest}", "--mirror=http://localhost/x"]
    assert jobs.prepare_options(plan, "cifar10", []) == given
    assert "--rendered=a" in jobs.prepare_options(plan, "shapes_plain", ["a"])


def test_a_mirror_is_one_of_the_averaged_images_too(paper_settings):
    plan = build_plan(paper_settings | {"image_side": 16, "mirrors": {"cifar10": "http://localhost/x"}})
    assert jobs.prepare_options(plan, "cifar10_16", [])[-1] == "--mirror=http://localhost/x"
    assert "mirror" not in str(jobs.prepare_options(plan, "cifar100_16", []))


def test_a_limit_of_time_may_be_text_as_snakemake_reads_it():
    assert jobs.stop_time("1e1", 5) == jobs.stop_time(10, 5) == 605
    assert jobs.stop_time(None, 5) == 0


def test_an_archive_without_runs_restores_nothing(plan, archived):
    assert jobs.archive_index(plan) == jobs.archive_index(archived) == []
    assert jobs.restored_files(archived) == []
    assert [*jobs.runs(archived)] == []


def test_a_campaign_makes_what_the_archive_lacks(plan):
    files = jobs.campaign_files(plan)
    lacking = {file for name in (paths.TRAINED[-1], "record.json") for file in jobs.run_files(plan, name)}
    assert {*files} == lacking | {OUT.plan, OUT.simulation("figure3")}


def test_files_of_tables_and_figures(plan):
    assert jobs.table_files(plan, ["csv", "tex"], ["table3"]) == [OUT.table("table3", e) for e in ("csv", "tex")]
    assert len(jobs.table_files(plan, ["csv"])) == len(plan.tables)
    assert jobs.figure_files(plan, ["pdf"]) == [OUT.figure(name, "pdf") for name in plan.available_figures]
    assert jobs.figure_files(plan, ["pdf"], []) == []


def test_a_new_measuring_recipe_is_a_param_that_snakemake_sees(monkeypatch):
    """The first has none: results from before there were versions are kept."""
    assert jobs.measuring_version() == []
    monkeypatch.setattr(jobs, "MEASURING", 2)
    assert jobs.measuring_version() == ["measuring recipe 2"]
