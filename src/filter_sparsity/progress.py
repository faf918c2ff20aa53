"""Long work: how many processors it may use, when it is to stop, and the bar that a person watches. Torch-free."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def stop_reason(end: float) -> Callable[[], str]:
    """A function that says why to stop: a signal's name, or that it is `end` (seconds since 1970); else an empty text.

    SIGTERM, Ctrl-C and SIGHUP, which a terminal sends as it closes, do nothing else from now on. Under `nohup` SIGHUP
    stays without effect.
    """
    received: list[str] = []
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    for number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} - ignored:
        signal.signal(number, lambda number, frame: received.append(signal.Signals(number).name))
    return lambda: received[0] if received else "its time is over" if time.time() >= end else ""


def bar(what: str, total: int | None, unit: str, **more: Any) -> tqdm:
    """A bar on stderr: written over where a person looks at it, and a line now and then elsewhere."""
    from tqdm import tqdm  # which trainings do without

    seconds = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(desc=what, total=total, unit=unit, mininterval=seconds, **more)
