"""Long work: how many processors it may use, and the bar that a person watches. Torch-free."""

from __future__ import annotations

import os
import sys
from typing import Any

from tqdm import tqdm


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def bar(what: str, total: int | None, unit: str, **more: Any) -> tqdm:
    """A bar on stderr: written over where a person looks at it, and a line now and then elsewhere."""
    seconds = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(desc=what, total=total, unit=unit, mininterval=seconds, **more)
