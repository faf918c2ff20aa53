"""Where a result comes from: the code's commit, the versions of what computed it, and the machine. Torch-free."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("filter-sparsity", "torch", "numpy", "safetensors", "snakemake")


def commit() -> str:
    """The checked-out commit of the source, with `-dirty` if files differ from it.

    Outside a checkout it is what the environment variable FILTER_SPARSITY_COMMIT says, or else `unknown`.
    """
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("FILTER_SPARSITY_COMMIT") or "unknown"


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
        lines = Path("/proc/cpuinfo").read_text().splitlines()
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
