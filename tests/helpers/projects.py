"""Copies of the project in which Snakemake runs for real, at a scale of a few steps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from filter_sparsity.planning.validation import read_yaml

ROOT = Path(__file__).parents[2]
TINY = {"scale": "test", "width": 0.0625, "steps": 6, "history_points": 2}
TINY |= {"experiments": "config/tiny.yaml", "datasets": "config/tiny.tsv"}


@dataclass
class Project:
    """A copy of the workflow in a folder of its own; `results/` below it is this copy's."""

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    def call(self, *command: str, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, **options
        )

    def snakemake(self, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
        """Call Snakemake on this copy. The target must stand before --configfile."""
        return self.call(sys.executable, "-m", "snakemake", "--cores", "2", *arguments, **options)

    def tiny(self, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
        return self.snakemake(*arguments, "--configfile", "config/tiny_scale.yaml", **options)

    def verb(self, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", "filter_sparsity.cli", *arguments, **options)

    def experiments(self) -> dict:
        return read_yaml(self.folder / "config" / "tiny.yaml")

    def write_experiments(self, experiments: dict) -> None:
        (self.folder / "config" / "tiny.yaml").write_text(yaml.safe_dump(experiments, allow_unicode=True))


def copy(folder: Path) -> Project:
    for part in ("Snakefile", "config", "profiles", "report", "workflow"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part)
        else:
            shutil.copy(source, folder / part)
    project = Project(folder)
    (folder / "config" / "tiny_scale.yaml").write_text(yaml.safe_dump(TINY))
    project.write_experiments(tiny_experiments())
    datasets = (folder / "config" / "datasets.tsv").read_text()
    (folder / "config" / "tiny.tsv").write_text(datasets.replace("\t1200\t300\t3\t", "\t60\t30\t3\t"))
    return project


def tiny_experiments() -> dict:
    """The project's own experiments, cut to three specs that make two tables and all four kinds of figure."""
    full = read_yaml(ROOT / "config" / "experiments.yaml")
    table = full["tables"]["table1"]
    for group in table["panels"][0]["groups"]:
        group["rows"] = group["rows"][:1]
    table4 = full["tables"]["table4"]
    table4["column_groups"] = table4["column_groups"][:1]
    table4["panels"][0]["groups"] = [
        {"label": "Adam & co_%", "settings": {"optimizer": "adam"}, "rows": [{"label": "1e-03 #1", "l2": 1e-3}]},
        {"label": "SGD", "settings": {"optimizer": "sgd"}, "rows": [{"label": "none ~ ^ \\ {}", "l2": 0}]},
    ]
    adam, sgd = {"label": "Adam", "optimizer": "adam", "l2": 1e-3}, {"label": "SGD", "optimizer": "sgd", "l2": 1e-3}
    for name in ("figure1", "figure2"):
        full["figures"][name].update(settings={"dataset": "cifar10"}, curves=[adam, sgd])
    full["figures"]["figure3"]["phases"][1]["iterations"] = 50
    full["renders"]["shapes"]["images"]["value"] = [2, 1]
    return {**full, "tables": {"table1": table, "table4": table4}}
