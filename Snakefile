# From data to the typeset supplement. Read the included files in their order: it is the way of the data.
import gc
import sys
from pathlib import Path

from snakemake.utils import min_version

from filter_sparsity import paths
from filter_sparsity.errors import UserError
from filter_sparsity.planning import workflow_lock
from filter_sparsity.planning.build import build_plans
from filter_sparsity.records import archive

min_version("9.1")
gc.set_threshold(1_000_000)  # looking for garbage among a plan's millions of live objects was a fifth of planning
shell.prefix(f"export PATH={Path(sys.executable).parent}:$PATH; ")  # without activating the environment, too


configfile: "config/config.yaml"


try:
    if workflow.is_main_process and workflow_lock.take(sys.argv):
        print("an earlier call was killed here: the lock that it left is dropped", file=sys.stderr)
    PLAN, OTHER, VARIED = build_plans(config)
except UserError as error:
    raise SystemExit(f"error: {error}") from None

config.update(PLAN.settings)  # which say what data were there, too
SCALE = PLAN.home  # the folder in results/
STORED = PLAN if PLAN.runs is not None else OTHER  # the plan of stored runs, if there is one
PLANS = {plan.home: plan for plan in (PLAN, STORED, VARIED) if plan}


# The platform this is meant for. Only `--software-deployment-method apptainer` would use it; nobody has tried that.
container: "docker://python:3.11-bookworm"


include: "workflow/rules/common.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/restore.smk"  # of stored runs, if there are any


if PLAN is not STORED:

    include: "workflow/rules/train.smk"

    if not config["pack_seeds"]:

        include: "workflow/rules/extract.smk"
    include: "workflow/rules/campaign.smk"


include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/sensitivity.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/page.smk"
include: "workflow/rules/check.smk"


rule all:
    "The report: what is made if nothing is named."
    default_target: True  # Snakemake does not hear it from an included file
    input:
        rules.report.input,
