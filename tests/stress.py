"""Stress test: faults of other people's machines, injected at random and counted.

    make stress
    python tests/stress.py --kills 50 --mutants 1100 --seed 1 [--only kills]

Kills Snakemake and its jobs at random moments, starts two at once, fills disks, moves folders, gives projects odd names
and homes odd settings, changes clocks, cuts files, and changes configurations, records, archives and checkpoints at
random. Prints the counts; fails if anything was
believed that should not be, or ended in a traceback. A whole campaign is kept in tests/stress.json. Half an hour on two
cores; disks need a user who may mount.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # bars of a thousand readings hide what is counted
HERE = Path(__file__).parent

from filter_sparsity.provenance import commit  # noqa: E402
from helpers.fault_injection import Campaign  # noqa: E402
from helpers.fuzz import Mutants  # noqa: E402

PARTS = ("kills", "two_at_once", "stale_locks", "disks", "moved", "surroundings", "clocks", "damages")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--mutants", type=int, default=1100)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", choices=[*PARTS, "mutants"], nargs="+")
    args = options.parse_args()
    wanted = args.only or [*PARTS, "mutants"]
    began, code, counts, trouble = time.time(), commit(), {}, []
    with tempfile.TemporaryDirectory(prefix="stress") as name:
        if "mutants" in wanted:
            mutants = Mutants(Path(name) / "mutants", args.seed)
            for kind in mutants.kinds:
                told = mutants.run(kind, -(-args.mutants // len(mutants.kinds)))
                show(counts, Counter({f"changed {kind}: {what}": n for what, n in told.items()}))
            trouble += mutants.trouble
        if {*PARTS} & {*wanted}:
            campaign = Campaign(Path(name) / "workflow", args.seed)
            many = {"kills": [args.kills], "two_at_once": [5], "disks": [3], "surroundings": [3], "damages": [6]}
            for part in PARTS:
                if part in wanted:
                    show(counts, campaign.run(part, *many.get(part, [])))
            trouble += campaign.trouble
    for line in trouble:
        print(f"TROUBLE {line}")
    minutes = round((time.time() - began) / 60, 1)
    print(f"{len(trouble)} troubles; {minutes} minutes")
    if not args.only:
        result = {"seed": args.seed, "commit": code, "minutes": minutes, "counts": counts, "trouble": trouble}
        (HERE / "stress.json").write_text(json.dumps(result, indent=1) + "\n")
    return bool(trouble)


def show(counts: dict[str, int], more: Counter[str]) -> None:
    counts.update(more)
    for what, n in more.items():
        print(f"{n:6}  {what.strip()}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
