"""How planning, aggregating and typesetting grow with the number of runs.

    python benchmarks/scaling.py [RUNS ...]     # 100 1000 10000

Makes a copy of the workflow whose every spec has so many seeds that there are about RUNS runs, all trained and measured
(synthetic numbers, through the project's own record writer), and times with no table made yet: `snakemake -n tables`,
which finds nothing to train; aggregating and typesetting every table; and the judgement of all cells and claims. Wall
and processor seconds, on an idle machine. Snakemake has no metadata of these runs, as of folders that were copied; of
runs that it made itself it reads a file more for each output. Writes benchmarks/scaling.json, and the table in
docs/campaign.md.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from filter_sparsity import paths
from filter_sparsity.files import write_text
from filter_sparsity.plan import Plan
from filter_sparsity.planning.build import build_plan, merge
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.provenance import processor
from filter_sparsity.records.record import sealed

ROOT = Path(__file__).parents[1]
PYTHON = [sys.executable]
VERB = [*PYTHON, "-m", "filter_sparsity.cli"]
OVERLAY = "config/many.yaml"
PAGE = ROOT / "docs" / "campaign.md"
BEGIN, END = "<!-- scaling: written by benchmarks/scaling.py -->\n", "<!-- end of scaling -->\n"


def project(folder: Path, runs: int) -> Plan:
    """A copy of the workflow with a scale `many`, and its plan."""
    for part in ("Snakefile", "config", "profiles", "report", "workflow"):
        source = ROOT / part
        shutil.copytree(source, folder / part) if source.is_dir() else shutil.copy(source, folder / part)
    overlay = {"scale": "many", "pack_seeds": False, "verdict": None}
    os.chdir(folder)
    settings = merge(read_yaml(Path("config/config.yaml")), overlay)
    specs = len(build_plan({**settings, "scale": "quick"}).specs)
    recipe = Path("config/recipe.yaml")
    many = f"seeds:\n  many: {list(range(math.ceil(runs / specs)))}\n"
    recipe.write_text(re.sub(r"^seeds:.*\n", many, recipe.read_text(), flags=re.MULTILINE, count=1))
    Path(OVERLAY).write_text(yaml.safe_dump(overlay))
    return build_plan(settings)


def fill(plan: Plan) -> int:
    """Write every run of a plan; returns how many. Data are the oldest, then comes what was trained."""
    chance, began, count = random.Random(0), time.time() - 3600, 0

    def write(path: Path, text: str, after: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (began + after, began + after))

    for name in plan.datasets:
        write(paths.prepared(name), "", 0)
        if family := paths.renders_of(name):
            write(paths.rendered(family), "", -60)
    for spec_id, spec in plan.specs.items():
        layers = [*spec.network.layers, "total"]
        origin = {"commit": "none", "versions": {}, "device": "none", "threads": 1, "data_digest": "none", "date": ""}
        for seed in plan.seeds_of(spec_id):
            folder = plan.results_folder.run(spec_id, seed)
            for name in paths.TRAINED:
                write(folder / name, "", 60)
            single = ("train_loss", "test_loss", "test_error", "params_pruned", "pruned_test_error")
            layered = ("sparsity_by_gamma", "sparsity_by_activation", "universality", "gamma_positive", "beta_positive")
            measured = {key: chance.random() for key in (*single, "pruned_test_error_folded")}
            measured |= {key: {layer: chance.random() for layer in layers} for key in layered}
            record = {"spec_id": spec_id, "seed": seed, "spec": spec.to_dict(), "measured": measured}
            write(folder / "record.json", sealed({**record, "provenance": {**origin, "seed": seed}}), 120)
            write(folder / "features.csv", "layer,filter,gamma,beta,largest_activation,universality\n", 120)
            count += 1
    return count


def seconds(*commands: list[str]) -> tuple[dict[str, float], str]:
    """Wall and processor seconds of commands, one after the other, and what they printed."""
    said, began, before = "", time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said += done.stdout + done.stderr
        if done.returncode:
            raise SystemExit(f"error: {' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": round(time.perf_counter() - began, 2), "processor": round(spent, 2)}, said


def measure(runs: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        plan = project(Path(name), runs)
        count = fill(plan)
        out = plan.results_folder
        write_text(out.plan, plan.to_json())
        given = ["--plan", str(out.plan), "--runs", str(out.runs)]
        tables = {table: out.table(table, "csv") for table in plan.tables}
        fixed = ["--published", str(paths.PUBLISHED), "--tolerances", str(paths.TOLERANCES)]
        aggregating = [
            [*VERB, "aggregate", *given, "--table", table, *fixed, "--out", str(csv)] for table, csv in tables.items()
        ]
        typesetting = [
            [*VERB, "typeset-table", *given[:2], "--table", table, "--values", str(csv),
             "--template", "report/table.tex.j2", "--out", str(csv.with_suffix(".tex"))]
            for table, csv in tables.items()
        ]  # fmt: skip
        planning = [*PYTHON, "-m", "snakemake", "-n", "--cores", "2", "tables", "--configfile", OVERLAY]
        first, said = seconds(planning)
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE))
        if "train" in jobs or "extract" in jobs or int(jobs["aggregate"]) != len(tables):
            raise SystemExit(f"error: planned was {jobs}")
        verdict = [str(out.verdict(file)) for file in ("cells.csv", "claims.csv", "verdict.json")]
        for figure, settings in plan.figures.items():
            if settings["kind"] == "simulation":
                seconds([*VERB, "simulate", *given[:2], "--figure", figure, "--out", str(out.simulation(figure))])
        judging = [*VERB, "judge", *given, "--simulations", str(out.simulations), *fixed]
        found = {
            "runs": count,
            "seconds": {
                "plan": first,
                "aggregate": seconds(*aggregating)[0],
                "typeset": seconds(*typesetting)[0],
                "judge": seconds([*judging, "--out", *verdict])[0],
            },
        }
        os.chdir(ROOT)
        print(json.dumps(found), flush=True)
        return found


def table(result: dict[str, Any]) -> str:
    """The table of the page."""
    steps = [*result["scaling"][0]["seconds"]]
    lines = [["runs", *steps], ["---"] * (1 + len(steps))]
    for found in result["scaling"]:
        lines.append([f"{found['runs']:,}", *(f"{found['seconds'][step]['processor']:.1f}" for step in steps)])
    where = f"On {result['processor']}, {result['cores']} cores, of which {result['load']} were asked for when it began"
    return f"{where}; seconds of processor time:\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    wanted = [int(argument) for argument in sys.argv[1:]] or [100, 1_000, 10_000]
    result = {"processor": processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    result |= {"scaling": [measure(runs) for runs in wanted]}
    (ROOT / "benchmarks" / "scaling.json").write_text(json.dumps(result, indent=1) + "\n")
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(result)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
