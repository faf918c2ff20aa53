"""What the Snakefile does first: keep other calls away, and build the plans. Torch-free."""

from __future__ import annotations

import atexit
import gc
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..plan import Plan
from . import workflow_lock
from .build import build_plans


def shell_prefix() -> str:
    """What each job's shell runs first, in Snakemake's format: verbs are found without activating the environment."""
    folder = str(Path(sys.executable).parent)
    if ":" in folder:
        raise SystemExit(f"error: PATH cannot have {folder}, for its colon: move the environment to another folder")
    return f"export PATH={shlex.quote(folder)}:$PATH; ".replace("{", "{{").replace("}", "}}")


def check_folder(project: str) -> None:
    """End the process with one line unless it runs in the project's folder, from which all paths are relative."""
    if not Path.cwd().samefile(project):
        raise SystemExit(f"error: Snakemake is to run in the project's folder: cd {shlex.quote(project)}")


def repeat_errors(logs: Sequence[str]) -> None:
    """Print the errors of failed jobs, which Snakemake's logs have, once more when the process ends: they come last."""
    lines = [line for log in logs for line in Path(log).read_text(encoding="utf-8", errors="replace").splitlines()]
    for error in dict.fromkeys(line.strip() for line in lines if line.lstrip().startswith("error: ")):
        atexit.register(print, error, file=sys.stderr)


def written_note(arguments: Sequence[str]) -> str | None:
    """The text of `--config note=...` as it is written, without quotes around it; None if it is not given.

    Snakemake reads it as YAML, in which `#` begins a comment, and would store the rest without a word.
    """
    for argument in arguments:
        if argument.removeprefix("--config=").startswith("note="):
            text = argument.partition("note=")[2].strip()
            return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
    return None


def start(config: dict[str, Any], arguments: Sequence[str] | None) -> tuple[Plan, Plan | None, Plan | None]:
    """The plan of a configuration, the one whose records come from the archive, and the sensitivity analysis's.

    The second may be the first itself; the last two may be None. `arguments` are those of the call of Snakemake, whose
    note replaces that of the configuration; None for its jobs, which take no lock. An error of the user's ends the
    process with one line.
    """
    gc.set_threshold(1_000_000)  # cyclic garbage collection took 20 % of planning time
    try:
        if arguments is not None and workflow_lock.take(arguments):
            print("an earlier call was killed here: the lock that it left is dropped", file=sys.stderr)
        if (note := written_note(arguments or [])) is not None:
            config["note"] = note
        plan, archived, sensitivity = build_plans(config)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    return plan, archived if plan.trains else plan, sensitivity
