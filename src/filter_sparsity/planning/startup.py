"""What the Snakefile does first: keep other calls away, and build the plans. Torch-free."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UserError
from ..plan import Plan
from . import workflow_lock
from .build import build_plans


def start(config: Mapping[str, Any], arguments: Sequence[str] | None) -> tuple[Plan, Plan | None, Plan | None]:
    """The plan of a configuration, the one whose records come from the archive, and the sensitivity analysis's.

    The second may be the first itself; the last two may be None. `arguments` are those of the call of Snakemake; None
    for its jobs, which take no lock. An error of the user's ends the process with one line.
    """
    gc.set_threshold(1_000_000)  # cyclic garbage collection took 20 % of planning time
    try:
        if arguments is not None and workflow_lock.take(arguments):
            print("an earlier call was killed here: the lock that it left is dropped", file=sys.stderr)
        plan, archived, sensitivity = build_plans(config)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    return plan, archived if plan.trains else plan, sensitivity
