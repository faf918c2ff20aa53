# From data to the typeset supplement. Read the included files in their order: it is the way of the data.
import gc
import json
import sys
import time
from pathlib import Path

from snakemake.utils import min_version

from filter_sparsity import lock, paths
from filter_sparsity.errors import UserError
from filter_sparsity.sweep import build_plan, merge
from filter_sparsity.validation import read_yaml

min_version("9.1")
gc.set_threshold(1_000_000)  # looking for garbage among a plan's millions of live objects was a fifth of planning
shell.prefix(f"export PATH={Path(sys.executable).parent}:$PATH; ")  # without activating the environment, too


configfile: "config/config.yaml"


try:
    if workflow.is_main_process and lock.take(sys.argv):
        print("an earlier call was killed here: the lock that it left is dropped", file=sys.stderr)
    PLAN = build_plan(config)  # its settings say which data were there
    OTHER = config.get("verdict") and build_plan(merge(config, read_yaml(Path(config["verdict"]))))
    VARIED = config.get("assumptions") and build_plan(
        merge(config, read_yaml(Path(config["assumptions"]))) | {"records": "stored"}
    )
except UserError as error:
    raise SystemExit(f"error: {error}") from None

config.update(PLAN.settings)
SCALE = PLAN.home  # the folder in results/
STORED = PLAN if PLAN.runs is not None else OTHER  # the plan of stored runs, if there is one
PLANS = {plan.home: plan for plan in (PLAN, STORED, VARIED) if plan}


wildcard_constraints:
    home="|".join(PLANS),
    spec="|".join(PLAN.specs),
    seed=r"\d+",
    dataset="|".join(PLAN.datasets),
    family="|".join(PLAN.renders) or "none",
    table="|".join(PLAN.tables) or "none",
    figure="|".join(PLAN.figures) or "none",


# The platform this is meant for. Only `--software-deployment-method apptainer` would use it; nobody has tried that.
container: "docker://python:3.11-bookworm"


include: "workflow/rules/common.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/prepare.smk"


if STORED:

    include: "workflow/rules/restore.smk"


if PLAN is not STORED:

    include: "workflow/rules/train.smk"
    include: "workflow/rules/extract.smk"
    include: "workflow/rules/campaign.smk"


include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/judge.smk"


if VARIED:

    include: "workflow/rules/assumptions.smk"


include: "workflow/rules/report.smk"
include: "workflow/rules/page.smk"
include: "workflow/rules/check.smk"
