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
PARTS = ("recipe", "tables", "figures", "claims")
TINY |= {"experiments": {part: f"config/tiny/{part}.yaml" for part in PARTS}, "datasets": "config/tiny/datasets.yaml"}


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

    def configure(self, **settings) -> None:
        """Change settings of the tiny scale."""
        path = self.folder / "config" / "tiny_scale.yaml"
        path.write_text(yaml.safe_dump({**read_yaml(path), **settings}, allow_unicode=True), encoding="utf-8")

    def verb(self, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", "filter_sparsity.cli", *arguments, **options)

    def read(self, part: str) -> dict:
        """A file of the tiny scale: the recipe, tables, figures or claims."""
        return read_yaml(self.folder / "config" / "tiny" / f"{part}.yaml")

    def write(self, part: str, content: dict) -> None:
        path = self.folder / "config" / "tiny" / f"{part}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content, allow_unicode=True))


def copy(folder: Path) -> Project:
    for part in ("Snakefile", "config", "profiles", "report", "workflow"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part)
        else:
            shutil.copy(source, folder / part)
    project = Project(folder)
    (folder / "config" / "tiny_scale.yaml").write_text(yaml.safe_dump(TINY))
    for part, content in tiny_experiments().items():
        project.write(part, content)
    datasets = read_yaml(ROOT / "config" / "datasets.yaml")
    for name in ("shapes_plain", "shapes_cluttered"):
        datasets[name] |= {"train": 60, "test": 30}
    project.write("datasets", datasets)
    return project


def tiny_experiments() -> dict[str, dict]:
    """The project's own experiments by file, cut to three specs that make two tables and all four kinds of figure."""
    full = {part: read_yaml(ROOT / "config" / f"{part}.yaml") for part in PARTS}
    tables, figures = full["tables"]["tables"], full["figures"]["figures"]
    for group in tables["table1"]["panels"][0]["groups"]:
        group["rows"] = group["rows"][:1]
    table4 = tables["table4"]
    table4["column_groups"] = table4["column_groups"][:1]
    table4["panels"][0]["groups"] = [
        {"label": "Adam & co_%", "settings": {"optimizer": "adam"}, "rows": [{"label": "1e-03 #1", "l2": 1e-3}]},
        {"label": "SGD", "settings": {"optimizer": "sgd"}, "rows": [{"label": "none ~ ^ \\ {}", "l2": 0}]},
    ]
    adam, sgd = {"label": "Adam", "optimizer": "adam", "l2": 1e-3}, {"label": "SGD", "optimizer": "sgd", "l2": 1e-3}
    for name in ("figure1", "figure2"):
        figures[name].update(settings={"dataset": "cifar10"}, curves=[adam, sgd])
    figures["figure3"]["phases"][1]["iterations"] = 50
    full["recipe"]["renders"]["shapes"]["images"]["value"] = [2, 1]
    return {**full, "tables": {"tables": {name: tables[name] for name in ("table1", "table4")}}}
