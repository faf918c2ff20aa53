# From data to the typeset supplement. Read the included files in their order: it is the way of the data.
import json
import sys
import time
from pathlib import Path

from snakemake.utils import min_version

from filter_sparsity import paths
from filter_sparsity.errors import UserError
from filter_sparsity.sweep import build_plan

min_version("9.1")
shell.prefix(f"export PATH={Path(sys.executable).parent}:$PATH; ")  # without activating the environment, too


configfile: "config/config.yaml"


try:
    PLAN = build_plan(config)  # its settings say which data were there
except UserError as error:
    raise SystemExit(f"error: {error}") from None

SCALE = PLAN.scale


wildcard_constraints:
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
include: "workflow/rules/train.smk"
include: "workflow/rules/extract.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/check.smk"
