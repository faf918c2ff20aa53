"""What the README and config/README.md tell people to do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from projects import ROOT
from test_plan import jobs

from filter_sparsity import claims, judge, paths, stored
from filter_sparsity.sweep import build_plan, merge
from filter_sparsity.validation import read_yaml

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    ((?:make|snakemake) [^#\n]*?) *(?:#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("snakemake")])
def test_snakemake_commands_can_be_planned(project, command):
    if "check" in command:
        pytest.skip("the check runs in CI after the report, by the same name")
    words = shlex.split(command)
    words = words[3:]  # without snakemake --cores N
    assert jobs(project.snakemake("-n", *words))["total"] > 1


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_targets_run_in_ci(command):
    assert (ROOT / "Makefile").read_text().count(f"\n{command.split()[1]}: ") == 1
    assert command in (ROOT / ".ci" / "run").read_text()


def test_the_table_of_targets_counts_what_is_trained():
    """What a single target trains is tested with the workflow itself; here, that the table says it."""
    counts = {target: int(n) for target, n in re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", README, re.MULTILINE)}
    settings = read_yaml(ROOT / "config" / "config.yaml")
    plan = build_plan(settings | {key: str(ROOT / settings[key]) for key in ("experiments", "datasets")})
    planned = {name: len(plan.selected(name)) for name in (*plan.tables, *plan.figures)}
    del planned["tiny_imagenet"], planned["imagenet"]  # stand in one line
    assert counts == planned | {"report": len(plan.specs), "check": len(plan.specs)}


def test_links_lead_somewhere():
    for page in ("README.md", "config/README.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / link).exists(), link


def test_the_example_of_a_new_row_trains_one_spec(project):
    """config/README.md: NAdam in Table 1."""
    path: Path = project.folder / "config" / "experiments.yaml"
    optimizer, group, _ = re.findall(r"```yaml\n(.*?)```", (ROOT / "config/README.md").read_text(), re.DOTALL)
    text = path.read_text()
    text = text.replace("\noptimizers:\n", "\n" + optimizer, 1)
    assert yaml.safe_load(optimizer)["optimizers"]["nadam"]["algorithm"] == "NAdam"
    first = "          - label: Adam\n            settings: {optimizer: adam}\n"
    assert first in text
    path.write_text(text.replace(first, group + first, 1))
    assert jobs(project.snakemake("-n", "table1"))["train"] == 9


def test_the_verdict_is_that_of_the_stored_records(tmp_path, monkeypatch):
    """To mend it: `snakemake readme`."""
    monkeypatch.chdir(ROOT)
    settings = read_yaml(ROOT / "config" / "config.yaml")
    plan = build_plan(merge(settings, read_yaml(ROOT / settings["verdict"])))
    runs, simulations = tmp_path / "runs", tmp_path / "simulations"
    stored.restore(plan, paths.reference(plan.scale), runs, simulations)
    cells = judge.judge(plan, runs, paths.PUBLISHED, paths.TOLERANCES)
    found = judge.summary(plan, cells, claims.judge(plan, runs, simulations))
    assert judge.for_readme(found, "docs/overview.png") in README
