"""Where a result comes from: the code's commit, the versions of what computed it, and the machine. Torch-free."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]  # of the project, where the package is used from a checkout
SECONDS = 60  # that git may take
PACKAGES = ("filter-sparsity", "torch", "numpy", "safetensors", "snakemake")


def commit() -> str:
    """The checked-out commit of the source, with `-dirty` if files differ from it.

    Outside a checkout of this project it is what the environment variable FILTER_SPARSITY_COMMIT says, or else
    `unknown` with the reason. A repository of something else around this project says nothing about it.
    """
    given = os.environ.get("FILTER_SPARSITY_COMMIT")
    if not (ROOT / ".git").exists():  # a folder, or a file in a worktree
        return given or "unknown (not a git checkout)"
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    # A hook or an editor's terminal may set GIT_DIR, which would name another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return given or f"unknown (`git {' '.join(command[3:])}` did not end within {SECONDS} seconds)"
    except OSError as error:
        return given or f"unknown ({type(error).__name__} of git)"
    if done.returncode == 0:
        return done.stdout.strip()
    reason = (done.stderr.strip().splitlines() or ["git failed"])[0].removeprefix("fatal: ")
    return given or f"unknown ({reason})"


def installed(package: str) -> str:
    """The version of a package, which may lie on PYTHONPATH without being installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def now() -> str:
    """Date and time, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def processor() -> str:
    """The processor's model name as Linux tells it, or the machine's kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def collect(device: str, threads: int) -> dict[str, Any]:
    """Provenance of something computed now on a device of this name."""
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{package: installed(package) for package in PACKAGES}},
        "device": device,
        "threads": threads,
        "date": now(),
    }
