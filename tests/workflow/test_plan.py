"""What Snakemake plans to do, without doing it."""

from __future__ import annotations

import json
import re

import pytest

from filter_sparsity.paths import reference
from filter_sparsity.plan import Plan
from filter_sparsity.planning.build import anchor_paths, build_plan, merge
from filter_sparsity.planning.validation import read_yaml
from helpers.projects import ROOT
from helpers.snakemake_output import jobs

STORED = ("--configfile", "config/scales/reduced.yaml", "--config", "records=stored")


def plan_of(scale: str) -> Plan:
    """The plan of the project's own configuration, where no dataset was got by hand."""
    settings = read_yaml(ROOT / "config" / "config.yaml")
    if scale != "quick":
        settings = merge(settings, read_yaml(ROOT / "config" / "scales" / f"{scale}.yaml"))
    return build_plan(anchor_paths(settings | {"manual_datasets": []}, ROOT))


def runs_of(plan: Plan) -> int:
    return sum(len(plan.seeds_of(spec_id)) for spec_id in plan.specs)


@pytest.mark.parametrize("target", [["report"], []], ids=["by name", "none named"])
def test_quick_report_trains_each_spec_once(project, target):
    planned = jobs(project.snakemake("-n", *target))
    plan = plan_of("quick")
    assert planned["train"] == len(plan.specs)  # both seeds in one job, which measures them, too
    assert "extract" not in planned
    assert planned["aggregate"] == planned["typeset_table"] == len(plan.tables)  # two were not run
    assert planned["plot"] == len(plan.available_figures)
    assert planned["prepare"] == len(plan.datasets)
    assert planned["render"] == 1  # for the plain and the cluttered dataset


def test_paper_report_trains_each_spec_and_seed_alone(project):
    planned = jobs(project.snakemake("-n", "report", "--configfile", "config/scales/paper.yaml"))
    assert planned["train"] == planned["extract"] == runs_of(plan_of("paper"))


def test_stored_records_train_nothing(project):
    planned = jobs(project.snakemake("-n", "report", *STORED))
    assert not {"train", "extract", "prepare", "simulate"} & {*planned}
    assert planned["aggregate"] == len(plan_of("reduced").tables)
    assert planned["judge"] == planned["plot_overview"] == 1


def test_the_later_of_two_configuration_files_wins(project):
    own = project.folder / "config" / "half.yaml"
    own.write_text("width: 0.5\nsteps: 1000\n")
    target = "results/paper/plan.json"
    files = ["config/scales/paper.yaml", "config/half.yaml"]
    done = project.snakemake(target, "--configfile", *files, "--config", "steps=2000")
    assert done.returncode == 0, done.stderr
    plan = Plan.from_json(project.folder / target)
    said = {key: plan.settings[key] for key in ("scale", "width", "steps", "strength_multiplier", "device")}
    assert said == {"scale": "paper", "width": 0.5, "steps": 2000, "strength_multiplier": 1, "device": "auto"}
    assert {spec.steps for spec in plan.specs.values()} == {2000}


@pytest.mark.parametrize("scale", ["reduced", "sensitivity"])
def test_a_campaign_has_every_run_that_is_not_stored(project, scale):
    """Those that are stored here; none of them, once the list of stored runs is away."""
    command = ["-n", "campaign", "--configfile", f"config/scales/{scale}.yaml"]
    kept, runs = project.folder / reference(scale, "json"), runs_of(plan_of(scale))
    if kept.exists():
        planned = jobs(project.snakemake(*command))
        stored = len(json.loads(kept.read_text())["runs"])
        assert planned.get("train", 0) == planned.get("extract", 0) == runs - stored
        kept.unlink()
    planned = jobs(project.snakemake(*command))
    assert planned["train"] == planned["extract"] == runs


def test_assumed_facts_are_varied_at_their_own_scale_only(project):
    planned = jobs(project.snakemake("-n", "report", *STORED))
    assert planned["compare_sensitivity"] == 1
    assert planned["plan"] == 2
    assert "train" not in planned


def test_a_campaign_runs_seed_by_seed_and_what_is_listed_first(project):
    """Three specs, the two of Table 4 first; each run is measured before another is trained."""
    settings = (project.folder / "config" / "tiny_scale.yaml").read_text()
    (project.folder / "config" / "tiny_scale.yaml").write_text(f"{settings}train_first: [table4]\npack_seeds: false\n")
    done = project.tiny("campaign", "--cores", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    told = re.findall(r"(train|extract) (\S+) seed \[?'?(\d)", done.stdout + done.stderr)
    assert [kind for kind, *_ in told] == ["train", "extract"] * (len(told) // 2)
    order = [(int(seed), spec) for kind, spec, seed in told if kind == "train"]
    assert [seed for seed, _ in order] == sorted(seed for seed, _ in order)
    plan = Plan.from_json(project.folder / "results" / "test" / "plan.json")
    assert [spec for seed, spec in order if seed == 0][:2] == plan.selected("table4")


@pytest.mark.parametrize("target", ["table3", "figure2", "task_difficulty", "task_difficulty_cifar"])
def test_a_single_target_trains_only_what_it_shows(project, target):
    planned, plan = jobs(project.snakemake("-n", target)), plan_of("quick")
    assert planned["train"] == len(plan.selected(target)) < len(plan.specs)
    assert "typeset_report" not in planned


def test_the_simulation_trains_nothing(project):
    planned = jobs(project.snakemake("-n", "figure3"))
    assert planned == {"plan": 1, "simulate": 1, "plot": 1, "figure3": 1, "total": 4}


def test_the_gallery_trains_nothing_and_renders_once(project):
    planned = jobs(project.snakemake("-n", "figure4"))
    assert planned == {"plan": 1, "render": 1, "prepare": 2, "plot": 1, "figure4": 1, "total": 6}


def test_tables_and_figures_need_no_latex(project):
    planned = jobs(project.snakemake("-n", "tables", "figures"))
    assert not [name for name in planned if name.startswith("compile")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "width=-1"], "width: -1 is less than or equal to the minimum of 0"),
        (["--config", "widht=1"], "unknown key 'widht'; allowed are data_root, datasets, device"),
        (["--config", "device=tpu"], "device: 'tpu' is not one of cpu, cuda, auto"),
        (["--config", "scale=huge"], "seeds: none are given for the scale 'huge'"),
        (["--config", "experiments={claims: nowhere.yaml}"], "cannot read nowhere.yaml: No such file or directory"),
    ],
)
def test_bad_settings_are_one_line(project, arguments, said):
    done = project.snakemake("-n", "report", *arguments)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in done.stderr
    assert not (project.folder / "results").exists()


def test_an_unknown_table_is_refused(project):
    done = project.snakemake("-n", "table9")
    assert done.returncode != 0
    assert "table9" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_lint_is_clean(project):
    assert project.snakemake("--lint").returncode == 0
