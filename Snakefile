# From data to the typeset supplement. The included files stand in the order of the data:
# config -> plan; originals -> prepared data; train -> run; extract -> record; records -> tables, figures, verdict -> report
import json
import sys
import time

from snakemake.utils import min_version

from filter_sparsity import paths
from filter_sparsity.planning import jobs, startup
from filter_sparsity.typesetting import captions

min_version("9.1")
startup.check_folder(workflow.basedir)
shell.prefix(startup.shell_prefix())


configfile: "config/config.yaml"


PLAN, ARCHIVED, SENSITIVITY = startup.start(config, sys.argv if workflow.is_main_process else None)
PLANS = {plan.results_folder.name: plan for plan in (PLAN, ARCHIVED, SENSITIVITY) if plan}
OUT = PLAN.results_folder
config.update(PLAN.settings)  # with the datasets found on disk


include: "workflow/rules/common.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/restore.smk"


if PLAN.trains:

    include: "workflow/rules/train.smk"
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
    "The report: the default target."
    default_target: True  # Snakemake ignores it in an included file
    input:
        rules.report.input,
    message:
        "finish the report"


onerror:
    startup.repeat_errors(log)
