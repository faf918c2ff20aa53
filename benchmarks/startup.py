"""How much of the quick report's time is starting up: what each job takes before and beside its computing.

    python benchmarks/startup.py SECONDS       # SECONDS: what `make report` took from scratch, after installation

Times each verb on next to no work (a training of 8 steps of the smallest network), three times, on an idle machine, and
multiplies the medians by the number of jobs of the quick report. Writes benchmarks/startup.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = [sys.executable]
VERB = [*PYTHON, "-m", "filter_sparsity.cli"]
SMALLEST = json.dumps({"steps": 8, "width": 0.02, "history_points": 1})


def seconds(command: list[str], times: int = 3) -> float:
    """Median wall time of a command."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    report = float(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        plan, data, runs = work / "plan.json", work / "digits.safetensors", work / "runs"
        subprocess.run(
            [*VERB, "plan", "--config", "config/config.yaml", "--settings", SMALLEST, "--out", str(plan)],
            check=True,
            cwd=ROOT,
        )
        subprocess.run(
            [*VERB, "prepare", "digits", "--root", folder, "--out", str(data)],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        spec = next(spec for spec in json.loads(plan.read_text())["specs"] if spec.startswith("digits-"))
        of_run = [f"--plan={plan}", f"--spec={spec}", f"--data={data}", f"--runs={runs}", "--seed", "0"]
        found = {
            "python": seconds([*PYTHON, "-c", "pass"]),
            "import torch": seconds([*PYTHON, "-c", "import torch"]),
            "train": seconds([*VERB, "train", *of_run]),
            "extract": seconds([*VERB, "extract", *of_run]),
            "snakemake, nothing run": seconds([*PYTHON, "-m", "snakemake", "-n", "figure3", "--quiet", "all"]),
        }
    specs = len(json.loads(plan_of_quick())["specs"])
    # Two jobs run at a time, so a second of start-up in one of them is half a second of the report's.
    share = specs * (found["train"] + found["extract"]) / 2 / report
    result = {
        "seconds": {name: round(value, 2) for name, value in found.items()},
        "jobs": {"train": specs, "extract": specs},
        "report": report,
        "share of start-up": round(share, 2),
        "cores": os.cpu_count(),
    }
    (ROOT / "benchmarks" / "startup.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def plan_of_quick() -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "plan.json"
        subprocess.run([*VERB, "plan", "--config", "config/config.yaml", "--out", str(out)], check=True, cwd=ROOT)
        return out.read_text()


if __name__ == "__main__":
    main()
